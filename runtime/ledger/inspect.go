package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// inspect says what is wrong with the database around the entries: its tables, indexes
// and triggers are those that were made, and every index agrees with its table. What a
// query finds by a damaged index is not all there is.
func (s *SQLite) inspect(ctx context.Context) (wrong []string, err error) {
	if err := s.each(ctx, "PRAGMA integrity_check(10)", nil, func(rows *sql.Rows) error {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		if text != "ok" {
			wrong = append(wrong, "the database is damaged: "+text)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	have, err := objects(ctx, s.read)
	if err != nil {
		return nil, s.explain("read ledger", err)
	}
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, s.create); err != nil {
		return nil, err
	}
	want, err := objects(ctx, db)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		switch text, there := have[name]; {
		case !there:
			wrong = append(wrong, fmt.Sprintf("the %s of the database is missing: it was removed", name))
		case text != want[name] && !strings.HasPrefix(name, "table "): // a table that was migrated has another text
			wrong = append(wrong, fmt.Sprintf("the %s of the database is another one than runner made", name))
		}
		delete(have, name)
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		wrong = append(wrong, fmt.Sprintf("the %s of the database was not made by runner", name))
	}
	return wrong, nil
}

// objects lists what a database consists of, with the statements that made it.
func objects(ctx context.Context, q querier) (map[string]string, error) {
	rows, err := q.QueryContext(ctx, "SELECT type || ' ' || name, ifnull(sql, '') FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' "+
		"ESCAPE '\\'")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]string{}
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return nil, err
		}
		out[name] = strings.Join(strings.Fields(text), " ")
	}
	return out, rows.Err()
}
