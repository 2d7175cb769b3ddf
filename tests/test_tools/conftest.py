import pytest
from mmengine.visualization import Visualizer


@pytest.fixture(autouse=True)
def no_visualizer_of_another_test():
    """MMEngine keeps one visualizer per name for the whole process."""
    Visualizer._instance_dict.clear()
