// Package ledger keeps the append-only record of runs and steps.
//
// An entry is canonical JSON (keys sorted, no white space, no HTML escapes,
// UTF-8). Its bytes are a leaf of an RFC 6962 tree (golang.org/x/mod/sumdb/tlog,
// the log of Go's checksum database: kept by the Go team, formats shared with
// other transparency logs), so a tree size and a root, written beside every
// copy, commit to all that was recorded before. Artifacts, copies and proofs are
// projections: they are computed from "end" entries by Project and stored in the
// transaction that appends the entry; they can be thrown away and computed again.
//
// A Ledger sits on a Store. There are two: Memory, for tests, and SQLite
// (modernc.org/sqlite: no cgo, WAL, synchronous=FULL, one file that the sqlite3
// program can read). One conformance suite holds both to the contract.
//
// Damage is found by three readers: Verify reads all, Check a bounded part (at
// the end of every run, what it wrote and some of what was there), Glance what
// status can afford: all of a ledger of some 8,000 entries, 0.6 s; of a larger one
// the entries of up to sixteen blocks, 1.2 s, and no projections.
//
// The package knows no Starlark and no backup system. Never keep a ledger on NFS.
package ledger
