"""A follower, as its leader starts it: python -m winnow.workers"""

from winnow.workers import follow_if_called

follow_if_called()
