-- What attempts were shown, and what policies said about their own attempts.

-- Tokens of the dialogue that the candidate answers; 0 where it was not sampled, or not counted
-- (before this schema).
ALTER TABLE candidates ADD COLUMN prompt INTEGER NOT NULL DEFAULT 0;

-- A critique or a verification of the chosen candidate of a turn.
CREATE TABLE reviews (
    episode  INTEGER NOT NULL REFERENCES episodes (id) ON DELETE CASCADE,
    turn     INTEGER NOT NULL,
    text     TEXT NOT NULL,
    tokens   INTEGER NOT NULL,          -- sampled, the end token included
    prompt   INTEGER NOT NULL,          -- of the dialogue that it answers
    approves INTEGER,                   -- 1 says right, 0 says wrong, NULL says neither
    PRIMARY KEY (episode, turn)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER reviews_stay BEFORE UPDATE ON reviews
BEGIN SELECT RAISE(ABORT, 'a stored review cannot change'); END;

DROP VIEW attempts;
CREATE VIEW attempts AS
SELECT s.key AS stage, s.kind, s.label, p.name AS problem, e.sample, c.turn, c.candidate,
       c.author, c.text, c.tokens, c.prompt, c.finished, c.chosen,
       g.name AS grader, g.version AS grader_version, v.answer, v.verdict,
       r.text AS review, r.approves
FROM stages s
JOIN episodes e ON e.stage = s.id
JOIN problem_names p ON p.id = e.problem
JOIN candidates c ON c.episode = e.id
LEFT JOIN grades v ON v.candidate = c.id AND v.grader = s.grader
LEFT JOIN graders g ON g.id = v.grader
LEFT JOIN reviews r ON r.episode = e.id AND r.turn = c.turn AND c.chosen;
