"""What is dropped once nobody asks for it any more."""

from datetime import datetime

from usage.models import KEEP_QUARTERS_FOR, QUARTER_S, QuarterBucket


def forget_old_quarters(now: datetime) -> int:
    """Days, months and events stay; quarter hours are only for short ranges."""
    oldest = int((now - KEEP_QUARTERS_FOR).timestamp()) // QUARTER_S
    return QuarterBucket.objects.filter(slot__lt=oldest).delete()[0]
