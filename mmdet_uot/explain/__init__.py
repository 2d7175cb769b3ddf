"""Why an object is matched to what it is, and what if.

- ``question``: one image as its assigner is asked, and its answers
- ``reasons``: in words why objects get little, and what would mend it
- ``export``, ``inline``: pages that need no other file
- ``server``: the same page with the solver behind it
- ``survey``, ``anchors``: a whole data set without training
"""
