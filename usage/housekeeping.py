"""What is dropped once nobody asks for it any more."""

from datetime import datetime

from usage.models import KEEP_MINUTES_FOR, KEEP_QUARTERS_FOR, QUARTER_S, MinuteBucket, QuarterBucket, QuarterModelBucket


def forget_old_quarters(now: datetime) -> int:
    """Days, months and events stay; quarter hours are only for short ranges."""
    oldest = int((now - KEEP_QUARTERS_FOR).timestamp()) // QUARTER_S
    return sum(table.objects.filter(slot__lt=oldest).delete()[0] for table in (QuarterBucket, QuarterModelBucket))


def forget_old_minutes(now: datetime) -> int:
    oldest = int((now - KEEP_MINUTES_FOR).timestamp()) // 60
    return MinuteBucket.objects.filter(minute__lt=oldest).delete()[0]
