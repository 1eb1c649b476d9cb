"""Recording a training run. The only room, beside the integrations, that imports torch."""

from paramviz.recorder.recorder import Recorder
from paramviz.recorder.report import RecordingReport
from paramviz.sampling import SampleBudgets

__all__ = ["Recorder", "RecordingReport", "SampleBudgets"]
