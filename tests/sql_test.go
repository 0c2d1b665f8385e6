package tests

import (
	"database/sql"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// cmdSQL does what an intruder would: the triggers that keep the ledger
// append-only are dropped first.
func cmdSQL(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, len(args) >= 2, "sql LEDGER STATEMENT...")
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	defer db.Close()
	var before, after []string
	for _, name := range []string{"entries_no_update", "entries_no_delete"} { // who edits a ledger knows how to hide it
		var text string
		if db.QueryRow("SELECT sql FROM sqlite_master WHERE name = ?", name).Scan(&text) == nil {
			before, after = append(before, "DROP TRIGGER "+name), append(after, text)
		}
	}
	for _, q := range append(append(before, args[1:]...), after...) {
		if _, err := db.Exec(q); err != nil {
			ts.Fatalf("%s: %v", q, err)
		}
	}
}
