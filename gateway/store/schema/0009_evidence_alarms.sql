-- Up to which row of evidence alarms are raised; what an older gateway kept raises its alarms now.
ALTER TABLE checked ADD COLUMN evidence INTEGER NOT NULL DEFAULT 0;

-- Notes go with their readings; an older gateway left those of the readings that the retention rule took.
DELETE FROM notes WHERE NOT EXISTS (
    SELECT 1 FROM readings r WHERE r.meter_id = notes.meter_id AND r.sequence = notes.sequence
);
