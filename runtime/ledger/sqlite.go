package ledger

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/tlog"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// SQLite is the Store of a machine: one database file.
type SQLite struct {
	db   *sql.DB
	read querier // db, or the transaction of a snapshot
	path string

	borrowed string // folder of a copy that is read in the place of path; "" is none

	version int    // of the schema
	create  string // its statements

	direct direct
	size   int64 // of the tree as this process last wrote it
	edge   map[int64]tlog.Hash
}

const (
	begin       = "BEGIN IMMEDIATE"
	commitTx    = "COMMIT"
	rollback    = "ROLLBACK"
	insertEntry = "INSERT INTO entries (seq, type, run, raw, hashes) VALUES (?, ?, ?, ?, ?)"
	selectSize  = "SELECT size FROM head"
	updateHead  = "INSERT INTO head (id, size, root) VALUES (1, ?, ?) ON CONFLICT (id) DO UPDATE SET size = excluded.size, root = " +
		"excluded.root"
	putFact = "INSERT INTO facts (kind, id, asset, item, run, ref, target, time, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT " +
		"(kind, id) DO UPDATE SET asset = excluded.asset, item = excluded.item, run = excluded.run, ref = excluded.ref, target = " +
		"excluded.target, time = excluded.time, body = excluded.body"
	dropFactID  = "DELETE FROM facts WHERE kind = ? AND id = ?"
	dropFactRef = "DELETE FROM facts WHERE kind = ? AND ref = ? AND ref <> ''"
	selectHash  = "SELECT hashes FROM entries WHERE seq = ?"
)

// Append implements Store. It must not be called concurrently; Ledger sees to it.
func (s *SQLite) Append(ctx context.Context, entries []Entry) (Head, error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return Head{}, s.explain("append to ledger", err)
	}
	defer conn.Close()
	w := &s.direct
	use := func(fn func() error) error {
		return conn.Raw(func(raw any) error {
			if err := w.on(raw); err != nil {
				return err
			}
			return fn()
		})
	}
	if err := use(func() error { return w.exec(begin) }); err != nil {
		return Head{}, s.explain("append to ledger", err)
	}
	var head Head
	var edge map[int64]tlog.Hash
	size, err := s.sizeNow(ctx, conn, use)
	if err == nil {
		err = use(func() error {
			if head, edge, err = s.appendTx(w, size, entries); err != nil {
				return err
			}
			return w.exec(commitTx)
		})
	}
	if err != nil {
		_ = use(func() error { return w.exec(rollback) }) // SQLite may have done it; what went wrong is reported
		return Head{}, s.explain("append to ledger", err)
	}
	s.size, s.edge = head.Size, edge
	return head, nil
}

// sizeNow returns the size of the tree. When another process has appended, the
// known edge is of no use, and that process may have been a newer runner.
func (s *SQLite) sizeNow(ctx context.Context, conn *sql.Conn, use func(func() error) error) (size int64, err error) {
	err = use(func() error {
		v, err := s.direct.value(selectSize)
		if err == io.EOF {
			return nil
		}
		size, _ = v.(int64)
		return err
	})
	if err != nil || size == s.size {
		return size, err
	}
	s.edge = nil
	return size, s.compatible(ctx, conn)
}

func (s *SQLite) appendTx(w *direct, size int64, entries []Entry) (Head, map[int64]tlog.Hash, error) {
	used := map[int64]tlog.Hash{}
	blobs, head, err := grow(size, entries, func(index int64) (tlog.Hash, error) {
		h, ok := s.edge[index]
		if !ok {
			seq, level := holder(index)
			v, err := w.value(selectHash, seq)
			blob, _ := v.([]byte)
			if err == nil {
				h, err = hashAt(blob, level)
			}
			if err != nil {
				return h, fmt.Errorf("read the hash of entry %d: %w", seq, err)
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
		if err := w.exec(insertEntry, e.Seq, e.Type, e.Run, e.raw, blobs[i]); err != nil {
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
			if err := applySQL(w.exec, c); err != nil {
				return Head{}, nil, err
			}
		}
	}
	return head, used, w.exec(updateHead, head.Size, head.Root[:])
}

func applySQL(exec func(string, ...driver.Value) error, c Change) error {
	switch {
	case !c.Drop:
		return exec(putFact, c.Kind, c.ID, c.Asset, c.Item, c.Run, c.Ref, c.Target, c.Time.UnixMicro(), []byte(c.Body))
	case c.ID != "":
		return exec(dropFactID, c.Kind, c.ID)
	}
	return exec(dropFactRef, c.Kind, c.Ref)
}
