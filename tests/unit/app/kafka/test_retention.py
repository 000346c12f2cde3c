"""Up to where topics are deleted, by what was noted of their ends."""

from aiokafka.structs import TopicPartition

from app.kafka.retention import positions_due

NOTES = [(9.0, {"t": [5, 0]}), (7.5, {"t": [8, 3]}), (6.9, {"t": [20, 4]}), (0.0, {"t": [30, 9]})]


def test_what_lay_before_the_youngest_note_that_is_old_enough_is_due() -> None:
    assert positions_due(NOTES, {"t": [30, 9]}, ["t"], days=7) == {
        TopicPartition("t", 0): 8,
        TopicPartition("t", 1): 3,
    }


def test_nothing_is_due_before_the_retention_has_passed_since_the_first_note() -> None:
    assert positions_due(NOTES, {"t": [30, 9]}, ["t"], days=10) == {}
    assert positions_due([], {"t": [30, 9]}, ["t"], days=7) == {}


def test_a_topic_that_was_created_again_is_left_alone() -> None:
    assert positions_due(NOTES, {"t": [29, 9]}, ["t"], days=7) == {TopicPartition("t", 1): 3}
    grown = [*NOTES[:3], (1.0, {"t": [2, 4]}), (0.0, {"t": [30, 9]})]
    assert positions_due(grown, {"t": [40, 9]}, ["t"], days=7) == {TopicPartition("t", 1): 3}


def test_topics_and_partitions_that_were_not_there_then_are_left_alone() -> None:
    assert positions_due(NOTES, {"t": [30, 9, 7], "u": [5]}, ["t", "u"], days=9) == {
        TopicPartition("t", 0): 5
    }
    assert positions_due(NOTES, {"t": [30, 9]}, ["u"], days=7) == {}
