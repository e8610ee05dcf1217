"""What a record and a model of it say: functions of (history, surrogate)."""
