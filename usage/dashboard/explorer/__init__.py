"""The spend explorer's page: its address, chart, table, causes, files and saved views."""
