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
	for _, q := range append([]string{"DROP TRIGGER IF EXISTS entries_no_update", "DROP TRIGGER IF EXISTS entries_no_delete"}, args[1:]...) {
		if _, err := db.Exec(q); err != nil {
			ts.Fatalf("%s: %v", q, err)
		}
	}
}
