"""The study: one durable record of trials and feedback, and the samplers that go on from it."""

from workbench.study.doors import Files, Plot
from workbench.study.feedback import Feedback, Question
from workbench.study.model import Model
from workbench.study.study import Study

__all__ = ["Feedback", "Files", "Model", "Plot", "Question", "Study"]
