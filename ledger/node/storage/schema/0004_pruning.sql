-- The header of a block whose body was pruned, or never came because this node joined by a snapshot: its body is empty.
ALTER TABLE blocks ADD COLUMN header BLOB;
