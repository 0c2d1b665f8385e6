package ledger

import (
	"context"
	"errors"

	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// An auditor's copy is taken while runs begin, write and end: each is whole, or the
// auditor is reported that a run is writing.
func TestBorrowWhileOthersWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	bulk(t, path, 1<<20) // long enough to copy that others get between
	done := make(chan error, 1)
	go func() {
		for i := range 100 { // each closes: its log is folded into the database and removed
			if err := appendMany(path, fmt.Sprint("w", i), 10); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	read, busy := 0, 0
	for more := true; more; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			more = false
		default:
		}
		borrowed := &SQLite{path: path}
		copied, err := borrowed.borrow()
		if errors.Is(err, errWritten) {
			busy++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		read++
		s, err := OpenSQLite(context.Background(), copied, false)
		if err != nil {
			t.Fatalf("copy %d: %v", read, err)
		}
		s.borrowed = borrowed.borrowed
		r, err := Verify(t.Context(), s, nil)
		if err != nil || !r.OK() {
			t.Fatalf("copy %d: got %v, %v, want a sound ledger", read, r.Problems, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if read == 0 {
		t.Errorf("got no copy in %d tries, want one when nobody writes", busy)
	}
	t.Logf("%d copies read, %d told to wait", read, busy)
}

// bulk makes a ledger of so many bytes.
func bulk(t *testing.T, path string, size int) {
	t.Helper()
	l := New(open(t, path))
	for i := range size / maxBulk {
		record(t, l, mustEntry(t, StepMark, t0, "bulk", "/0", Mark{Key: fmt.Sprint(i, strings.Repeat("x", maxBulk))}))
	}
}

const maxBulk = 32 << 10
