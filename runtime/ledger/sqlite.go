package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

const schemaVersion = 1

const schema = `
CREATE TABLE entries (seq INTEGER PRIMARY KEY, type TEXT NOT NULL, run TEXT NOT NULL, raw BLOB NOT NULL, hashes BLOB NOT NULL);
CREATE INDEX entries_run ON entries (run, seq) WHERE run <> '';
CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, root BLOB NOT NULL);
CREATE TABLE facts (kind TEXT NOT NULL, id TEXT NOT NULL, asset TEXT NOT NULL, item TEXT NOT NULL, run TEXT NOT NULL,
  ref TEXT NOT NULL, target TEXT NOT NULL, time INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE INDEX facts_ref ON facts (kind, ref) WHERE ref <> '';
CREATE INDEX facts_item ON facts (kind, item, time);
CREATE INDEX facts_run ON facts (kind, run);
CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
PRAGMA user_version = 1;
`

// SQLite is the Store of a machine: one database file.
type SQLite struct {
	db   *sql.DB
	path string

	size int64 // of the tree as this process last wrote it
	edge map[int64]tlog.Hash

	mu    sync.Mutex // guards stmts
	stmts map[string]*sql.Stmt
}

// OpenSQLite opens, or with create makes, the database at path. A newer schema is
// refused with *NewerError; an older one is copied aside before it is migrated.
func OpenSQLite(ctx context.Context, path string, create bool) (*SQLite, error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && !create {
		return nil, fmt.Errorf("open ledger %s: %w", path, os.ErrNotExist)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the ledger's folder: %w", err)
	}
	dsn := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(),
		RawQuery: "_pragma=busy_timeout(30000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)&_txlock=immediate"}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	s := &SQLite{db: db, path: path, stmts: map[string]*sql.Stmt{}}
	if err := s.prepare(ctx); err != nil {
		db.Close()
		return nil, s.explain("open ledger", err)
	}
	return s, nil
}

func (s *SQLite) prepare(ctx context.Context) error {
	var version int
	if err := s.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	switch {
	case version > schemaVersion:
		return &NewerError{Have: schemaVersion, Want: version, Path: s.path}
	case version == 0:
		return s.create(ctx)
	}
	return nil
}

// create makes the schema unless another process was faster.
func (s *SQLite) create(ctx context.Context) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var version int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version != 0 {
		return nil
	}
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	return os.Chmod(s.path, 0o600)
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
	if size != s.size {
		edge = nil // another process has appended
	}
	used := map[int64]tlog.Hash{}
	blobs, head, err := grow(size, entries, func(index int64) (tlog.Hash, error) {
		h, ok := edge[index]
		if !ok {
			var err error
			if h, err = readHash(ctx, tx.StmtContext(ctx, stmts[selectHash]), index); err != nil {
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

func readHash(ctx context.Context, st *sql.Stmt, index int64) (tlog.Hash, error) {
	seq, level := holder(index)
	var blob []byte
	if err := st.QueryRowContext(ctx, seq).Scan(&blob); err != nil {
		return tlog.Hash{}, fmt.Errorf("read the hash of entry %d: %w", seq, err)
	}
	return hashAt(blob, level)
}

// Hash implements Store.
func (s *SQLite) Hash(ctx context.Context, index int64) (tlog.Hash, error) {
	st, err := s.stmt(ctx, selectHash)
	if err != nil {
		return tlog.Hash{}, s.explain("read ledger", err)
	}
	return readHash(ctx, st, index)
}

// Head implements Store.
func (s *SQLite) Head(ctx context.Context) (Head, error) {
	var h Head
	var root []byte
	err := s.db.QueryRowContext(ctx, "SELECT size, root FROM head").Scan(&h.Size, &root)
	if errors.Is(err, sql.ErrNoRows) {
		return Head{}, nil
	}
	copy(h.Root[:], root)
	return h, s.explain("read ledger", err)
}

// Entries implements Store.
func (s *SQLite) Entries(ctx context.Context, f Filter, fn func(Entry) error) error {
	q, args := "SELECT seq, raw FROM entries WHERE seq >= ?", []any{f.From}
	if f.Run != "" {
		q, args = q+" AND run = ? AND run <> ''", append(args, f.Run)
	}
	if f.Type != "" {
		q, args = q+" AND type = ?", append(args, f.Type)
	}
	return s.each(ctx, q+" ORDER BY seq", args, func(rows *sql.Rows) error {
		var seq int64
		var raw []byte
		if err := rows.Scan(&seq, &raw); err != nil {
			return err
		}
		e, err := ParseEntry(seq, raw)
		if err != nil {
			return err
		}
		return fn(e)
	})
}

// Rows implements Store.
func (s *SQLite) Rows(ctx context.Context, q Query, fn func(Row) error) error {
	text, args := "SELECT kind, id, asset, item, run, ref, target, time, body FROM facts WHERE kind = ?", []any{q.Kind}
	for _, c := range []struct{ name, value string }{{"id", q.ID}, {"asset", q.Asset}, {"item", q.Item}, {"run", q.Run}, {"ref", q.Ref}, {"target", q.Target}} {
		if c.value != "" {
			text, args = text+" AND "+c.name+" = ?", append(args, c.value)
			if c.name == "ref" {
				text += " AND ref <> ''" // the index holds no others
			}
		}
	}
	return s.each(ctx, text+" ORDER BY time, id", args, func(rows *sql.Rows) error {
		var r Row
		var at int64
		var body []byte
		if err := rows.Scan(&r.Kind, &r.ID, &r.Asset, &r.Item, &r.Run, &r.Ref, &r.Target, &at, &body); err != nil {
			return err
		}
		r.Time, r.Body = time.UnixMicro(at).UTC(), body
		return fn(r)
	})
}

// Scan implements Store.
func (s *SQLite) Scan(ctx context.Context, fn func(int64, []byte, []byte) error) error {
	return s.each(ctx, "SELECT seq, raw, hashes FROM entries ORDER BY seq", nil, func(rows *sql.Rows) error {
		var seq int64
		var raw, hashes []byte
		if err := rows.Scan(&seq, &raw, &hashes); err != nil {
			return err
		}
		return fn(seq, raw, hashes)
	})
}

// each collects nothing: but the one connection is busy until it returns, so a
// callback must not use the store.
func (s *SQLite) each(ctx context.Context, q string, args []any, fn func(*sql.Rows) error) error {
	rows, err := s.db.QueryContext(ctx, q, args...)
	if err != nil {
		return s.explain("read ledger", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return s.explain("read ledger", rows.Err())
}

// Close implements Store.
func (s *SQLite) Close() error {
	for _, st := range s.stmts {
		st.Close()
	}
	return s.explain("close ledger", s.db.Close())
}

// explain adds what an operator can do to the errors that they will meet.
func (s *SQLite) explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	hint := ""
	switch text := err.Error(); {
	case errors.As(err, new(*NewerError)), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case strings.Contains(text, "(13)") || strings.Contains(text, "disk is full"):
		hint = "\nhint: free space under " + filepath.Dir(s.path) + ", then runner resume; nothing that was recorded is lost"
	case strings.Contains(text, "malformed") || strings.Contains(text, "not a database"):
		hint = "\nhint: the ledger file is damaged: keep it aside and run runner ledger rebuild --from TARGET"
	case strings.Contains(text, "readonly") || strings.Contains(text, "unable to open"):
		hint = "\nhint: runner must be able to write " + filepath.Dir(s.path) + "; or name another folder with --state"
	}
	return fmt.Errorf("%s %s: %w%s", doing, s.path, err, hint)
}
