-- Which topics of notes are complete: what a recovery may fold instead of all events.

-- name: notes_complete
-- Whether the notes of a topic name everything that was published. $1 the topic.
SELECT EXISTS (SELECT FROM published_notes WHERE topic = $1);

-- name: note_complete
-- They do so from now on. $1 the topic.
INSERT INTO published_notes (topic) VALUES ($1) ON CONFLICT (topic) DO NOTHING;
