package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// querier is what a database and a transaction have in common.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func readHash(row *sql.Row, index int64) (tlog.Hash, error) {
	seq, level := holder(index)
	var blob []byte
	if err := row.Scan(&blob); err != nil {
		return tlog.Hash{}, fmt.Errorf("read the hash of entry %d: %w", seq, err)
	}
	return hashAt(blob, level)
}

// Hash implements Store.
func (s *SQLite) Hash(ctx context.Context, index int64) (tlog.Hash, error) {
	seq, _ := holder(index)
	h, err := readHash(s.read.QueryRowContext(ctx, selectHash, seq), index)
	return h, s.explain("read ledger", err)
}

// Head implements Store.
func (s *SQLite) Head(ctx context.Context) (Head, error) {
	var h Head
	var root []byte
	err := s.read.QueryRowContext(ctx, "SELECT size, root FROM head").Scan(&h.Size, &root)
	if errors.Is(err, sql.ErrNoRows) {
		return Head{}, nil
	}
	if err == nil && (h.Size < 0 || h.Size > maxEntries || len(root) != len(h.Root)) {
		return Head{}, s.explain("read ledger", fmt.Errorf("its head is malformed: %d entries, a root of %d bytes", h.Size, len(root)))
	}
	copy(h.Root[:], root)
	return h, s.explain("read ledger", err)
}

// maxEntries is far beyond what one machine records in its life.
const maxEntries = 1 << 40

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
		e, err := s.parse(seq, raw)
		if err != nil {
			return err
		}
		return fn(e)
	})
}

// Rows implements Store.
func (s *SQLite) Rows(ctx context.Context, q Query, fn func(Row) error) error {
	text, args := "SELECT kind, id, asset, item, run, ref, target, time, body FROM facts WHERE kind = ?", []any{q.Kind}
	for _, c := range []struct{ name, value string }{{"id", q.ID}, {"asset", q.Asset}, {"item", q.Item}, {"run", q.Run}, {"ref", q.Ref},
		{"target", q.Target}} {
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
func (s *SQLite) Scan(ctx context.Context, from, to int64, fn func(Leaf) error) error {
	return s.each(ctx, "SELECT seq, raw, hashes, type, run FROM entries WHERE seq >= ? AND seq < ? ORDER BY seq", []any{from, to},
		func(rows *sql.Rows) error {
			var e Leaf
			if err := rows.Scan(&e.Seq, &e.Raw, &e.Hashes, &e.Type, &e.Run); err != nil {
				return err
			}
			return fn(e)
		})
}

// each collects nothing: but the one connection is busy until it returns, so a
// callback must not use the store.
func (s *SQLite) each(ctx context.Context, q string, args []any, fn func(*sql.Rows) error) error {
	rows, err := s.read.QueryContext(ctx, q, args...)
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

// parse names the file when an entry is of a newer runner.
func (s *SQLite) parse(seq int64, raw []byte) (Entry, error) {
	e, err := ParseEntry(seq, raw)
	var newer *NewerError
	if errors.As(err, &newer) {
		newer.Path = s.path
	}
	return e, err
}

// snapshot opens the database once more, to be read as of now.
func (s *SQLite) snapshot(ctx context.Context) (Store, error) {
	path := s.path
	if s.borrowed != "" {
		path = filepath.Join(s.borrowed, filepath.Base(s.path))
	}
	db, err := connect(path)
	if err != nil {
		return nil, s.explain("read ledger", err)
	}
	tx, err := db.BeginTx(context.WithoutCancel(ctx), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		db.Close()
		return nil, s.explain("read ledger", err)
	}
	return &SQLite{db: db, read: tx, path: s.path, version: s.version, create: s.create}, nil
}

// Close implements Store.
func (s *SQLite) Close() error {
	s.direct.close()
	if tx, ok := s.read.(*sql.Tx); ok {
		tx.Rollback() // it only read
	}
	err := s.db.Close()
	if s.borrowed != "" {
		err = errors.Join(err, os.RemoveAll(s.borrowed))
	}
	return s.explain("close ledger", err)
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
	case strings.Contains(text, "readonly") || strings.Contains(text, "unable to open") || strings.Contains(text, "permission denied") ||
		strings.Contains(text, "read-only"):
		hint = "\nhint: runner must be able to write " + filepath.Dir(s.path) + "; or name another folder with --state"
	}
	return fmt.Errorf("%s %s: %w%s", doing, s.path, err, hint)
}
