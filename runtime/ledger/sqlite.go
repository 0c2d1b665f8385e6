package ledger

import (
	"context"
	"database/sql"
	"errors"
	"sync"

	"golang.org/x/mod/sumdb/tlog"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// SQLite is the Store of a machine: one database file.
type SQLite struct {
	db   *sql.DB
	read querier // db, or the transaction of a snapshot
	path string

	version int // of the schema

	size int64 // of the tree as this process last wrote it
	edge map[int64]tlog.Hash

	mu    sync.Mutex // guards stmts
	stmts map[string]*sql.Stmt
}

func (s *SQLite) stmt(ctx context.Context, q string) (*sql.Stmt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st, ok := s.stmts[q]; ok {
		return st, nil
	}
	st, err := s.db.PrepareContext(ctx, q)
	if err == nil {
		s.stmts[q] = st
	}
	return st, err
}

const (
	insertEntry = "INSERT INTO entries (seq, type, run, raw, hashes) VALUES (?, ?, ?, ?, ?)"
	selectSize  = "SELECT size FROM head"
	updateHead  = "INSERT INTO head (id, size, root) VALUES (1, ?, ?) ON CONFLICT (id) DO UPDATE SET size = excluded.size, root = excluded.root"
	putFact     = "INSERT INTO facts (kind, id, asset, item, run, ref, target, time, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET asset = excluded.asset, item = excluded.item, run = excluded.run, ref = excluded.ref, target = excluded.target, time = excluded.time, body = excluded.body"
	dropFactID  = "DELETE FROM facts WHERE kind = ? AND id = ?"
	dropFactRef = "DELETE FROM facts WHERE kind = ? AND ref = ? AND ref <> ''"
	selectHash  = "SELECT hashes FROM entries WHERE seq = ?"
)

// Append implements Store. It must not be called concurrently; Ledger sees to it.
func (s *SQLite) Append(ctx context.Context, entries []Entry) (Head, error) {
	stmts := map[string]*sql.Stmt{}
	for _, q := range []string{insertEntry, selectSize, updateHead, putFact, dropFactID, dropFactRef, selectHash} {
		st, err := s.stmt(ctx, q)
		if err != nil {
			return Head{}, s.explain("append to ledger", err)
		}
		stmts[q] = st
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return Head{}, s.explain("append to ledger", err)
	}
	defer tx.Rollback()
	head, edge, err := s.appendTx(ctx, tx, stmts, entries)
	if err != nil {
		return Head{}, s.explain("append to ledger", err)
	}
	if err := tx.Commit(); err != nil {
		return Head{}, s.explain("append to ledger", err)
	}
	s.size, s.edge = head.Size, edge
	return head, nil
}

func (s *SQLite) appendTx(ctx context.Context, tx *sql.Tx, stmts map[string]*sql.Stmt, entries []Entry) (Head, map[int64]tlog.Hash, error) {
	exec := func(q string, args ...any) error {
		_, err := tx.StmtContext(ctx, stmts[q]).ExecContext(ctx, args...)
		return err
	}
	var size int64
	if err := tx.StmtContext(ctx, stmts[selectSize]).QueryRowContext(ctx).Scan(&size); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Head{}, nil, err
	}
	edge := s.edge
	if size != s.size { // another process has appended
		edge = nil
		if err := s.compatible(ctx, tx); err != nil {
			return Head{}, nil, err
		}
	}
	used := map[int64]tlog.Hash{}
	blobs, head, err := grow(size, entries, func(index int64) (tlog.Hash, error) {
		h, ok := edge[index]
		if !ok {
			var err error
			seq, _ := holder(index)
			if h, err = readHash(tx.StmtContext(ctx, stmts[selectHash]).QueryRowContext(ctx, seq), index); err != nil {
				return h, err
			}
		}
		used[index] = h
		return h, nil
	})
	if err != nil {
		return Head{}, nil, err
	}
	for i := range entries {
		e := &entries[i]
		e.Seq = size + int64(i)
		if err := exec(insertEntry, e.Seq, e.Type, e.Run, e.raw, blobs[i]); err != nil {
			return Head{}, nil, err
		}
		for level := 0; level*tlog.HashSize < len(blobs[i]); level++ {
			used[tlog.StoredHashIndex(level, (e.Seq+1)>>level-1)], _ = hashAt(blobs[i], level)
		}
		changes, err := Project(*e)
		if err != nil {
			return Head{}, nil, err
		}
		for _, c := range changes {
			if err := applySQL(exec, c); err != nil {
				return Head{}, nil, err
			}
		}
	}
	return head, used, exec(updateHead, head.Size, head.Root[:])
}

func applySQL(exec func(string, ...any) error, c Change) error {
	switch {
	case !c.Drop:
		return exec(putFact, c.Kind, c.ID, c.Asset, c.Item, c.Run, c.Ref, c.Target, c.Time.UnixMicro(), []byte(c.Body))
	case c.ID != "":
		return exec(dropFactID, c.Kind, c.ID)
	}
	return exec(dropFactRef, c.Kind, c.Ref)
}
