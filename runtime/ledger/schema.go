package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
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
`

// layout is a version of the tables: how to make them, and for each older version
// the statements that lead to the next one.
type layout struct {
	version int
	create  string
	steps   map[int]string
}

// newest is the layout that this binary uses. A step once released never changes.
func newest() layout { return layout{schemaVersion, schema, map[int]string{}} }

// OpenSQLite opens, or with create makes, the database at path. A newer schema,
// or a newer entry, is refused with *NewerError; an older schema is copied aside
// to path.v<N>.bak before it is migrated.
func OpenSQLite(ctx context.Context, path string, create bool) (*SQLite, error) {
	return openLayout(ctx, path, create, newest())
}

func openLayout(ctx context.Context, path string, create bool, want layout) (*SQLite, error) {
	s := &SQLite{path: path, version: want.version, create: want.create}
	if err := s.file(create); err != nil {
		return nil, s.explain("open ledger", err)
	}
	open := path
	if !create && !writable(path) {
		var err error
		if open, err = s.borrow(); err != nil {
			return nil, s.explain("open ledger", err)
		}
	}
	db, err := connect(open)
	if err != nil {
		return nil, s.explain("open ledger", err)
	}
	s.db, s.read = db, db
	if err := s.prepare(ctx, want); err != nil {
		s.Close()
		return nil, s.explain("open ledger", err)
	}
	return s, nil
}

// file sees to it that the database exists, for its owner alone.
func (s *SQLite) file(create bool) error {
	if _, err := os.Stat(s.path); !errors.Is(err, os.ErrNotExist) || !create {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(s.path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func connect(path string) (*sql.DB, error) {
	dsn := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(),
		RawQuery: "_pragma=busy_timeout(30000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)&_txlock=immediate"}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

func versionOf(ctx context.Context, q querier) (int, error) {
	var version int
	err := q.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
	return version, err
}

func (s *SQLite) prepare(ctx context.Context, want layout) error {
	version, err := versionOf(ctx, s.db)
	if err != nil {
		return err
	}
	switch {
	case version > want.version:
		return &NewerError{Have: want.version, Want: version, Path: s.path, Version: writer(ctx, s.db)}
	case version == 0:
		return s.change(ctx, 0, want.version, []string{want.create})
	case version < want.version:
		return s.migrate(ctx, version, want)
	}
	return s.compatible(ctx, s.db)
}

// compatible refuses to go on beside a newer runner, which may have migrated the
// database, or have appended entries of a newer encoding, since it was opened.
func (s *SQLite) compatible(ctx context.Context, q querier) error {
	version, err := versionOf(ctx, q)
	if err != nil {
		return err
	}
	if version > s.version {
		return &NewerError{Have: s.version, Want: version, Path: s.path, Version: writer(ctx, q)}
	}
	var raw []byte
	err = q.QueryRowContext(ctx, "SELECT raw FROM entries ORDER BY seq DESC LIMIT 1").Scan(&raw)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	var newer *NewerError
	if _, err := s.parse(0, raw); errors.As(err, &newer) {
		newer.Version = writer(ctx, q)
		return newer
	}
	return nil // one that cannot be read is for Verify to tell
}

// writer is the version of the runner that began the newest run, if that can be
// read: only to word what to install.
func writer(ctx context.Context, q querier) string {
	var raw []byte
	if q.QueryRowContext(ctx, "SELECT raw FROM entries WHERE type = 'run.begin' ORDER BY seq DESC LIMIT 1").Scan(&raw) != nil {
		return ""
	}
	var e struct{ Body struct{ Version string } }
	if json.Unmarshal(raw, &e) != nil {
		return ""
	}
	return e.Body.Version
}

// change runs statements that lead from one version to another, unless another
// process was faster.
func (s *SQLite) change(ctx context.Context, from, to int, statements []string) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	version, err := versionOf(ctx, tx)
	if err != nil || version == to {
		return err
	}
	if version != from {
		return fmt.Errorf("its format changed from %d to %d meanwhile", from, version)
	}
	for _, text := range append(statements, fmt.Sprintf("PRAGMA user_version = %d", to)) {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("bring its format from %d to %d: %w", from, to, err)
		}
	}
	return tx.Commit()
}

func (s *SQLite) migrate(ctx context.Context, from int, want layout) error {
	var statements []string
	for v := from; v < want.version; v++ {
		text, ok := want.steps[v]
		if !ok {
			return fmt.Errorf("its format %d is too old: no way leads to %d", v, want.version)
		}
		statements = append(statements, text)
	}
	if err := s.aside(ctx, from); err != nil {
		return fmt.Errorf("copy the ledger aside before its format changes: %w", err)
	}
	return s.change(ctx, from, want.version, statements)
}

// aside copies the database to path.v<N>.bak, whole or not at all.
func (s *SQLite) aside(ctx context.Context, version int) error {
	dir, name := filepath.Dir(s.path), fmt.Sprintf("%s.v%d.bak", filepath.Base(s.path), version)
	f, err := os.CreateTemp(dir, name+".*") // SQLite fills an empty file
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := s.db.ExecContext(ctx, "VACUUM INTO ?", f.Name()); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
