"""The Chromium of this machine, and how it is started."""

import shutil

# The first has no window to show, and opens a page in a tenth of the time.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
# Its sandbox needs rights that a container does not give; the rest keeps it from calling home.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
