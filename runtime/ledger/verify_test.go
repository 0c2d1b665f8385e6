package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// tamper edits the database behind the ledger's back.
type tamper struct {
	t  *testing.T
	db *sql.DB
}

func (x tamper) exec(q string, args ...any) {
	x.t.Helper()
	res, err := x.db.Exec(q, args...)
	if err != nil {
		x.t.Fatal(err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 && !strings.HasPrefix(q, "DROP") && !strings.HasPrefix(q, "CREATE") &&
		!strings.HasPrefix(q, "PRAGMA") && !strings.HasPrefix(q, "REINDEX") {
		x.t.Fatalf("%s changed nothing (%v): the test would prove nothing", q, err)
	}
}

// shift renumbers the entries from seq on by n.
func (x tamper) shift(seq, n int) {
	x.exec("UPDATE entries SET seq = -seq - 1000 WHERE seq >= ?", seq)
	x.exec("UPDATE entries SET seq = -seq - 1000 + ? WHERE seq < 0", n)
}

// whole makes hashes and head anew, as one would who knows how it is done.
func (x tamper) whole() {
	rows, err := x.db.Query("SELECT seq, raw FROM entries ORDER BY seq")
	if err != nil {
		x.t.Fatal(err)
	}
	var f frontier
	blobs := map[int64][]byte{}
	for rows.Next() {
		var seq int64
		var raw []byte
		if err := rows.Scan(&seq, &raw); err != nil {
			x.t.Fatal(err)
		}
		blobs[seq] = f.add(tlog.RecordHash(raw), nil)
	}
	rows.Close()
	for seq, b := range blobs {
		x.exec("UPDATE entries SET hashes = ? WHERE seq = ?", b, seq)
	}
	root := f.root()
	x.exec("UPDATE head SET size = ?, root = ?", f.size, root[:])
}

// nights is a ledger of two runs, entries 0 to 13, after some edits.
func nights(t *testing.T, edit func(x tamper)) (*SQLite, Head) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	s := open(t, path)
	l := New(s)
	night(t, l, "r1", t0)
	night(t, l, "r2", t0.Add(time.Hour))
	head, err := l.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	x := tamper{t, db}
	made := map[string]string{}
	for _, name := range []string{"entries_no_update", "entries_no_delete"} {
		var text string
		if err := db.QueryRow("SELECT sql FROM sqlite_master WHERE name = ?", name).Scan(&text); err != nil {
			t.Fatal(err)
		}
		made[name] = text
		x.exec("DROP TRIGGER " + name)
	}
	edit(x)
	for _, text := range made { // who edits a ledger knows how to hide it
		x.exec(text)
	}
	return s, head
}

func TestVerifyNamesWhatWasDone(t *testing.T) {
	cp := CopyID(ArtifactID("r1", "/0"), "nas")
	cases := []struct {
		name string
		edit func(x tamper)
		want []string // beginning of each problem
	}{
		{"nothing", func(tamper) {}, nil},
		{"an entry was edited", func(x tamper) { x.exec("UPDATE entries SET raw = replace(raw, 'erp', 'exp') WHERE seq = 3") },
			[]string{"entry 3: edited"}},
		{"two entries were edited", func(x tamper) { x.exec("UPDATE entries SET raw = CAST(raw || ' ' AS BLOB) WHERE seq IN (2, 9)") },
			[]string{"entry 2: edited", "entry 9: edited"}},
		{"an entry was replaced by what is no JSON", func(x tamper) { x.exec("UPDATE entries SET raw = x'ff00' WHERE seq = 0") },
			[]string{"entry 0: edited"}},
		{"an entry was removed", func(x tamper) { x.exec("DELETE FROM entries WHERE seq = 4") }, []string{"entry 4: removed"}},
		{"an entry was removed and the others renumbered", func(x tamper) {
			x.exec("DELETE FROM entries WHERE seq = 3")
			x.shift(4, -1)
			x.exec("UPDATE head SET size = size - 1")
		}, []string{"entry 3: inserted, removed or reordered here"}},
		{"an even one, and the size kept", func(x tamper) {
			x.exec("DELETE FROM entries WHERE seq = 4")
			x.shift(5, -1)
		}, []string{"truncated: the last entry is 12, but 14 were written", "entry 4: inserted, removed or reordered here"}},
		{"two entries changed places", func(x tamper) {
			x.exec("CREATE TABLE was AS SELECT seq, raw FROM entries")
			x.exec("UPDATE entries SET raw = (SELECT raw FROM was WHERE was.seq = 7 - entries.seq) WHERE seq IN (2, 5)")
		}, []string{"entry 2: reordered: these are the contents of entry 5", "entry 5: reordered: these are the contents of entry 2"}},
		{"two entries changed places with their hashes", func(x tamper) {
			x.exec("UPDATE entries SET seq = 1000 WHERE seq = 2")
			x.exec("UPDATE entries SET seq = 2 WHERE seq = 6")
			x.exec("UPDATE entries SET seq = 6 WHERE seq = 1000")
		}, []string{"entry 2: inserted, removed or reordered here: entries 2 to 3 do not"}},
		{"an entry was inserted", func(x tamper) {
			x.shift(5, 1)
			x.exec("INSERT INTO entries SELECT 5, type, run, raw, hashes FROM entries WHERE seq = 2")
			x.exec("UPDATE head SET size = size + 1")
		}, []string{"entry 5: inserted, removed or reordered here"}},
		{"an entry was appended without the log", func(x tamper) {
			x.exec("INSERT INTO entries SELECT 14, type, run, raw, hashes FROM entries WHERE seq = 2")
		}, []string{"entry 14: inserted: 1 entries follow the recorded end"}},
		{"the last entries were cut off", func(x tamper) { x.exec("DELETE FROM entries WHERE seq >= 12") },
			[]string{"truncated: the last entry is 11, but 14 were written"}},
		{"everything was cut off", func(x tamper) { x.exec("DELETE FROM entries") },
			[]string{"truncated: the last entry is -1, but 14 were written"}},
		{"cut off, and the size with it", func(x tamper) {
			x.exec("DELETE FROM entries WHERE seq >= 12")
			x.exec("UPDATE head SET size = 12")
		}, []string{"the recorded root"}},
		{"the recorded root was edited", func(x tamper) { x.exec("UPDATE head SET root = zeroblob(32)") }, []string{"the recorded root"}},
		{"the recorded size was edited", func(x tamper) { x.exec("UPDATE head SET size = 13") },
			[]string{"entry 13: inserted: 1 entries follow"}},
		{"the hash of a leaf was edited", func(x tamper) { x.exec("UPDATE entries SET hashes = zeroblob(32) WHERE seq = 8") },
			[]string{"entry 8: the hashes stored with it were edited; the entry itself is what was recorded"}},
		{"an inner hash was edited", func(x tamper) {
			x.exec("UPDATE entries SET hashes = CAST(substr(hashes, 1, 32) || zeroblob(32) AS BLOB) WHERE seq = 5")
		}, []string{"entry 5: the hashes stored with it were edited"}},
		{"a fact was edited", func(x tamper) { x.exec("UPDATE facts SET body = replace(body, 'nas', 'tape') WHERE id = ?", cp) },
			[]string{"entry 4: the copy " + cp + " is not stored as this entry says"}},
		{"a column of a fact was edited", func(x tamper) { x.exec("UPDATE facts SET time = time + 1 WHERE id = ?", cp) },
			[]string{"entry 4: the copy " + cp + " is not stored as this entry says"}},
		{"a fact was removed", func(x tamper) { x.exec("DELETE FROM facts WHERE kind = 'run' AND id = 'r2'") },
			[]string{"entry 7: the run r2 is missing among the stored ones"}},
		{"a fact was added", func(x tamper) {
			x.exec("INSERT INTO facts SELECT kind, 'forged', asset, item, run, ref, target, time, body FROM facts WHERE id = ?", cp)
		}, []string{"the copy forged is stored, but no entry says so"}},
		{"the run beside an entry was edited", func(x tamper) { x.exec("UPDATE entries SET run = 'r9' WHERE seq = 3") },
			[]string{`entry 3: it is filed as "step.end" of run "r9", and is "step.end" of run "r1"`}},
		{"the type beside an entry was edited", func(x tamper) { x.exec("UPDATE entries SET type = 'undo' WHERE seq = 9") },
			[]string{`entry 9: it is filed as "undo" of run "r2", and is `}},
		{"an index was removed", func(x tamper) { x.exec("DROP INDEX facts_item") }, []string{"the index facts_item of the database is missing"}},
		{"an index is another one", func(x tamper) {
			x.exec("DROP INDEX facts_item")
			x.exec("CREATE INDEX facts_item ON facts (kind, item, time) WHERE item <> 'erp'")
		}, []string{"the index facts_item of the database is another one"}},
		{"an index is damaged", func(x tamper) { // it lacks what the table has
			x.exec("PRAGMA writable_schema = ON")
			x.exec("UPDATE sqlite_master SET sql = 'CREATE INDEX facts_run ON facts (kind, run) WHERE run IS NULL' WHERE name = 'facts_run'")
			x.exec("PRAGMA writable_schema = RESET")
			x.exec("REINDEX facts_run")
			x.exec("PRAGMA writable_schema = ON")
			x.exec("UPDATE sqlite_master SET sql = 'CREATE INDEX facts_run ON facts (kind, run)' WHERE name = 'facts_run'")
			x.exec("PRAGMA writable_schema = RESET")
		}, []string{"the database is damaged: "}},
		{"a trigger was added", func(x tamper) {
			x.exec("CREATE TRIGGER more AFTER INSERT ON entries BEGIN DELETE FROM facts WHERE kind = 'copy'; END")
		}, []string{"the trigger more of the database was not made by runner"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, _ := nights(t, c.edit)
			r, err := Verify(t.Context(), s, nil)
			if err != nil {
				t.Fatal(err)
			}
			ok := len(r.Problems) == len(c.want) || len(c.want) == 1 && strings.HasPrefix(c.want[0], "the database is damaged") &&
				len(r.Problems) > 0
			for i := range min(len(c.want), len(r.Problems)) {
				ok = ok && strings.HasPrefix(r.Problems[i].String(), c.want[i])
			}
			if !ok {
				t.Errorf("got %q, want %q", r.Problems, c.want)
			}
		})
	}
}

func TestCheckpoints(t *testing.T) {
	var mid Head
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := New(open(t, path))
	night(t, l, "r1", t0)
	mid, _ = l.Head(t.Context())
	night(t, l, "r2", t0.Add(time.Hour))
	end, _ := l.Head(t.Context())
	other := New(NewMemory())
	night(t, other, "x1", t0)
	foreign, _ := other.Head(t.Context())

	// a ledger that was restored to an older state, went on, and was joined
	old := New(NewMemory())
	night(t, old, "r1", t0)
	gap := LedgerGap{Size: end.Size, Root: fmt.Sprintf("%x", end.Root[:]), Target: "nas", Reason: "restored from a backup"}
	joined := New(NewMemory())
	night(t, joined, "r1", t0)
	record(t, joined, mustEntry(t, Junction, t0, "", "", gap))
	grown := New(NewMemory())
	night(t, grown, "r1", t0)
	record(t, grown, mustEntry(t, Junction, t0, "", "", gap))
	for i := range 3 {
		night(t, grown, fmt.Sprint("g", i), t0)
	}
	forged, _ := nights(t, func(x tamper) {
		x.exec("UPDATE entries SET raw = replace(raw, 'erp', 'exp') WHERE seq = 3")
		x.exec("UPDATE facts SET item = 'exp', body = replace(body, 'erp', 'exp') WHERE kind IN ('artifact', 'item') AND run = 'r1'")
		x.exec("DELETE FROM facts WHERE kind = 'item' AND run = 'r1'")
		x.exec("INSERT INTO facts VALUES ('item', ?, 'vms', 'exp', 'r1', '', '', ?, ?)", shortHash("r1", "vms", "exp", "100"), t0.UnixMicro(),
			[]byte(`{"asset":"vms","id":"100","name":"exp"}`))
		x.whole()
	})
	wrongEnd := end
	wrongEnd.Root[0] ^= 1
	cases := []struct {
		name  string
		store Store
		heads map[string]Head
		gaps  int
		want  string // beginning of the only problem
	}{
		{"earlier states of this ledger", l, map[string]Head{"nas": mid, "offsite": end, "new": {}}, 0, ""},
		{"this ledger is older than a checkpoint", old, map[string]Head{"nas": end}, 0,
			"truncated or older: nas holds a checkpoint of 14 entries, this ledger has 7\nhint: "},
		{"a checkpoint of another ledger", l, map[string]Head{"nas": mid, "usb": foreign}, 0, "the checkpoint of 7 entries on usb has root"},
		{"an entry was edited and all hashes made anew", forged, map[string]Head{"nas": mid}, 0, "the checkpoint of 7 entries on nas has root"},
		{"edited likewise, without a checkpoint nobody can tell", forged, nil, 0, ""},
		{"joined by a gap entry", joined, map[string]Head{"nas": end, "usb": mid}, 1, ""},
		{"joined, and grown beyond the checkpoint", grown, map[string]Head{"nas": end}, 1, ""},
		{"joined to another end than this", joined, map[string]Head{"nas": wrongEnd}, 1, "truncated or older: nas"},
		{"a change before the gap is not excused by it", joined, map[string]Head{"usb": foreign}, 1,
			"the checkpoint of 7 entries on usb has root"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r, err := Verify(t.Context(), c.store, c.heads)
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprint(r.Problems)
			if len(r.Gaps) != c.gaps || (c.want == "") != r.OK() || !strings.HasPrefix(got, "["+c.want) || len(r.Problems) > 1 {
				t.Errorf("got %d gaps, %s, want %d and %q", len(r.Gaps), got, c.gaps, c.want)
			}
		})
	}
}

// watched measures the memory in use while entries are read.
type watched struct {
	Store
	peak uint64
}

func (w *watched) Scan(ctx context.Context, from, to int64, fn func(Leaf) error) error {
	return w.Store.Scan(ctx, from, to, func(e Leaf) error {
		if e.Seq%2000 == 1999 {
			w.peak = max(w.peak, inUse())
		}
		return fn(e)
	})
}

func inUse() uint64 {
	goruntime.GC()
	var m goruntime.MemStats
	goruntime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestVerifyDoesNotHoldTheEntries(t *testing.T) {
	const entries, body = 8000, 2000
	s := open(t, filepath.Join(t.TempDir(), "ledger.db"))
	note := strings.Repeat("x", body)
	for n := 0; n < entries; n += 1000 {
		var group []Entry
		for i := range 1000 {
			id := fmt.Sprint(n + i)
			group = append(group, mustEntry(t, StepEnd, t0, "r", "/"+id,
				End{OK: true, Facts: Facts{Artifacts: []Artifact{{ID: id, Created: t0, Consistency: note}}}}))
		}
		if _, err := s.Append(t.Context(), group); err != nil {
			t.Fatal(err)
		}
	}
	w := &watched{Store: s}
	before := inUse()
	sound(t, w, entries)
	if used, limit := int64(w.peak)-int64(before), int64(entries*132+1<<20); used > limit {
		t.Errorf("got %d KiB in use for %d entries of %d bytes, want at most %d KiB", used>>10, entries, body, limit>>10)
	}
}

func TestVerifyWhileOthersAppend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l, reader := New(open(t, path)), open(t, path)
	night(t, l, "r", t0)
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				e, err := NewEntry(RunBegin, t0, fmt.Sprint("w", i), "", Run{ID: fmt.Sprint("w", i)})
				if err == nil {
					_, err = l.Record(context.Background(), e)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	for range 20 {
		r, err := Verify(t.Context(), reader, nil)
		if err != nil || !r.OK() {
			t.Errorf("got %v, %v, want a sound ledger", r.Problems, err)
		}
	}
	close(stop)
	<-done
}

func TestVerifyStopsWhenToldTo(t *testing.T) {
	stores(t, func(t *testing.T, l *Ledger) {
		night(t, l, "r", t0)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Verify(ctx, l, nil); err == nil {
			t.Error("it went on")
		}
	})
}
