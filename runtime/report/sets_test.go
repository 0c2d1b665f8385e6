package report

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// turns are the demands of the tests with two media in turn.
func turns() ledger.Demands {
	d := demands()
	set := ledger.MediaSet{Name: "offline", Names: []string{"offline-a", "offline-b"}, Every: 7 * day, Grace: 2 * day, Keeper: "Anna"}
	d.Sets = []ledger.MediaSet{set}
	d.Targets = d.Targets[:2]
	for _, name := range set.Names {
		d.Targets = append(d.Targets, ledger.TargetFacts{Name: name, Medium: "usb", Location: "safe", Offline: true, Due: set.Every,
			Grace: set.Grace})
	}
	d.Assets[0].On = []ledger.CopyDemand{{Target: "nas", Level: ledger.Opened}, {Target: "offline-a", Level: ledger.Read, Set: "offline"},
		{Target: "offline-b", Level: ledger.Read, Set: "offline"}, {Target: "offsite", Level: ledger.Read}}
	return d
}

// visit records that a medium got the items at a time, and left.
func (b *book) visit(target string, at time.Time, level int, names ...string) {
	for _, n := range names {
		b.copy(b.artifact("visit "+target, n, at), target, level)
	}
	b.facts(at.Add(time.Hour), "visit", ledger.Facts{Media: []ledger.Medium{{Target: target, State: "detached", At: at.Add(time.Hour),
		Since: at.Add(time.Hour), Device: devices[target].Device}}})
}

// today records a night whose media are all away.
func (b *book) today(names ...string) {
	at := now.Add(-30 * time.Minute)
	b.begin("r", at)
	b.expect(at, "r", names...)
	for _, n := range names {
		a := b.artifact("r", n, at)
		b.copy(a, "nas", ledger.Opened)
		b.copy(a, "offsite", ledger.Read)
	}
}

func TestASetOfMedia(t *testing.T) {
	ago := func(n int) time.Time { return now.Add(-time.Duration(n) * day) }
	attached := func(target string) map[string]string { return map[string]string{target: "attached"} }
	for _, c := range []struct {
		name  string
		set   func(*book)
		live  map[string]string
		run   []string // findings of the run
		sum   string   // offline copies of erp, as status counts them
		media []string // words of status for each medium
		need  []string // what status reports of media
	}{
		{"one is away and not due, the other was never written", func(b *book) { b.visit("offline-a", ago(3), ledger.Read, "erp", "mail") }, nil,
			nil, "1/1 offline", []string{"away since 20 Nov, due 27 Nov", "unknown"}, nil},
		{"both are away, the older is past its turn", func(b *book) {
			b.visit("offline-a", ago(8), ledger.Read, "erp", "mail")
			b.visit("offline-b", ago(1), ledger.Read, "erp", "mail")
		}, nil, nil, "1/1 offline", []string{"away since 15 Nov, was due 22 Nov", "away since 22 Nov, due 29 Nov"}, nil},
		{"both are due: said once", func(b *book) {
			b.visit("offline-a", ago(15), ledger.Read, "erp", "mail")
			b.visit("offline-b", ago(8), ledger.Read, "erp", "mail")
		}, nil, []string{"degraded: offline is overdue: 2 items on it are up to 8 d old, due every 7 d | attach offline-a or offline-b"},
			"0/1 offline", []string{"away since 8 Nov, was due 15 Nov", "away since 15 Nov, was due 22 Nov"},
			[]string{"degraded: offline is overdue: 2 items on it are up to 8 d old, due every 7 d | attach offline-a or offline-b"}},
		{"past the grace", func(b *book) {
			b.visit("offline-b", ago(10), ledger.Read, "erp", "mail")
		}, nil, []string{"failed: offline is overdue: 2 items on it are up to 10 d old, due every 7 d, and its grace of 2 d is over | " +
			"attach offline-a or offline-b"}, "0/1 offline", []string{"unknown", "away since 13 Nov, was due 20 Nov"},
			[]string{"failed: offline is overdue: 2 items on it are up to 10 d old, due every 7 d, and its grace of 2 d is over | " +
				"attach offline-a or offline-b"}},
		{"none was ever written", func(b *book) {}, nil,
			[]string{"degraded: 2 items have no copy on offline, and never had one | attach offline-a or offline-b"}, "0/1 offline",
			[]string{"unknown", "unknown"},
			[]string{"degraded: 2 items have no copy on offline, and never had one | attach offline-a or offline-b"}},
		{"one of two items is not on it", func(b *book) {
			b.artifact("before", "mail", ago(4))
			b.visit("offline-a", ago(3), ledger.Read, "erp")
		}, nil, []string{"degraded: mail has no copy on offline, and never had one | attach offline-a or offline-b"}, "1/1 offline",
			[]string{"away since 20 Nov, due 27 Nov", "unknown"},
			[]string{"degraded: mail has no copy on offline, and never had one | attach offline-a or offline-b"}},
		{"an item that is newer than the last visit is due with the next", func(b *book) {
			b.visit("offline-a", ago(3), ledger.Read, "erp")
		}, nil, nil, "1/1 offline", []string{"away since 20 Nov, due 27 Nov", "unknown"}, nil},
		{"it left before it was read back", func(b *book) { b.visit("offline-a", ago(1), ledger.Stored, "erp", "mail") }, nil,
			[]string{"failed: erp on offline-a is stored (not read back), demanded: read | attach offline-a",
				"failed: mail on offline-a is stored (not read back), demanded: read | attach offline-a"}, "0/1 offline",
			[]string{"away since 22 Nov, due 29 Nov", "unknown"}, []string{"failed: erp on offline-a is stored (not read back), demanded: read | " +
				"attach offline-a", "failed: mail on offline-a is stored (not read back), demanded: read | attach offline-a"}},
		{"the fresh one is still here, and the other is overdue", func(b *book) {
			b.visit("offline-a", ago(9), ledger.Read, "erp", "mail")
			b.visit("offline-b", ago(1), ledger.Read, "erp", "mail")
		}, attached("offline-b"), nil, "0/1 offline", []string{"away since 14 Nov, was due 21 Nov", "attached, due 29 Nov"},
			[]string{"degraded: erp has 0 of 1 offline copies: offline-b is still attached | runner media eject offline-b, and take it away",
				"degraded: mail has 0 of 1 offline copies: offline-b is still attached | runner media eject offline-b, and take it away"}},
		{"one that did not come back for two turns", func(b *book) {
			b.visit("offline-a", ago(20), ledger.Read, "erp", "mail")
			b.visit("offline-b", ago(1), ledger.Read, "erp", "mail")
			b.facts(ago(20), "x", ledger.Facts{Custody: []ledger.Custody{{Target: "offline-a", Act: ledger.CheckedOut, To: "Anna", Place: "bank",
				At: ago(20)}}})
		}, nil, nil, "1/1 offline", []string{"away since 3 Nov with its keeper, bank, was due 10 Nov", "away since 22 Nov, due 29 Nov"},
			[]string{"degraded: offline-a was to be back by 10 Nov: away since 3 Nov with its keeper, bank, was due 10 Nov | ask for it; if it is " +
				"lost, in site.star: another medium in names of media(set = \"offline\"), and erase what is found"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBook(t)
			c.set(b)
			b.today("erp", "mail")
			d := turns()
			found, err := Complete(t.Context(), b.catalog(), d, judged("r", now.Add(-30*time.Minute)))
			if err != nil {
				t.Fatal(err)
			}
			if got := said(found); !slices.Equal(got, c.run) && len(got)+len(c.run) > 0 {
				t.Errorf("the run: got %q, want %q", got, c.run)
			}
			b.end("r", now, ledger.OK)
			st := status(t, b, d, now, Live{Media: c.live})
			sum := st.Assets[0].Items[0].Sum.Of(st.Assets[0].Demanded)
			if !strings.Contains(sum, c.sum) {
				t.Errorf("got %s, want %s", sum, c.sum)
			}
			var words []string
			for _, m := range st.Media {
				words = append(words, m.words(st.At))
			}
			if !slices.Equal(words, c.media) {
				t.Errorf("media: got %q, want %q", words, c.media)
			}
			var needs []ledger.Finding
			for _, n := range st.Missing {
				if strings.Contains(n.Text, "offline") {
					f := n.Finding
					if i := strings.Index(f.Type, ", then: runner exec"); i > 0 {
						f.Type = f.Type[:i]
					}
					needs = append(needs, f)
				}
			}
			if got := said(needs); !slices.Equal(got, c.need) && len(got)+len(c.need) > 0 {
				t.Errorf("status: got %q, want %q", got, c.need)
			}
		})
	}
}

func said(found []ledger.Finding) (out []string) {
	for _, f := range found {
		out = append(out, strings.TrimSuffix(f.Severity+": "+f.Text+" | "+f.Type, " | "))
	}
	slices.Sort(out)
	return out
}

func TestWordsOfAMedium(t *testing.T) {
	nov := func(day int) time.Time { return time.Date(2026, 11, day, 2, 0, 0, 0, time.UTC) }
	out := func(to, place string) *ledger.Custody {
		return &ledger.Custody{Act: ledger.CheckedOut, To: to, Place: place, At: nov(3)}
	}
	away := MediumStatus{Target: "offline-b", State: "detached", At: nov(5), Since: nov(3), Keeper: "Anna", Due: nov(10)}
	with := func(edit func(*MediumStatus)) MediumStatus {
		m := away
		edit(&m)
		return m
	}
	for want, m := range map[string]MediumStatus{
		"away since 3 Nov with its keeper, due 10 Nov":  with(func(m *MediumStatus) { m.Custody = out("Anna", "") }),
		"away since 3 Nov with Ben, bank, due 10 Nov":   with(func(m *MediumStatus) { m.Custody = out("Ben", "bank") }),
		"away since 3 Nov, due 10 Nov":                  away,
		"away since 3 Nov, was due 10 Nov":              with(func(m *MediumStatus) { m.Late = true }),
		"away since 3 Nov, not checked out, due 10 Nov": with(func(m *MediumStatus) { m.Custody = &ledger.Custody{Act: ledger.Ejected} }),
		"away since 3 Nov, checked in 4 Nov, due 10 Nov": with(func(m *MediumStatus) {
			m.Custody = &ledger.Custody{Act: ledger.CheckedIn,
				At: nov(4)}
		}),
		"attached, due 10 Nov":              with(func(m *MediumStatus) { m.State, m.Custody = "attached", out("Anna", "") }),
		"away since 3 Nov 2025, due 10 Nov": with(func(m *MediumStatus) { m.Since = m.Since.AddDate(-1, 0, 0) }),
	} {
		if got := m.words(nov(6)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
