package report

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

func status(t *testing.T, b *book, d ledger.Demands, at time.Time, live Live) *Status {
	t.Helper()
	s, err := NewStatus(t.Context(), b.catalog(), d, at, live)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheSumOfAnItem(t *testing.T) {
	at := now.Add(-3 * time.Hour)
	detach := func(b *book) { b.medium("offline-a", "detached", now.Add(-time.Hour)) }
	cases := []struct {
		name  string
		write func(b *book, d *ledger.Demands)
		live  Live
		want  string
		miss  []string
	}{
		{"all that is demanded", func(b *book, _ *ledger.Demands) { b.night("r", at, "erp"); detach(b) }, Live{},
			"3/3 copies, 2/2 media, 1/1 offsite, 1/1 offline, 0 unproven", nil},
		{"the medium is still attached", func(b *book, _ *ledger.Demands) { b.night("r", at, "erp") },
			Live{Media: map[string]string{"offline-a": "attached"}},
			"3/3 copies, 2/2 media, 1/1 offsite, 0/1 offline, 0 unproven",
			[]string{"erp has 0 of 1 offline copies: offline-a is still attached | runner media eject offline-a, and take it away"}},
		{"the medium was seen again after it was taken away", func(b *book, _ *ledger.Demands) { b.night("r", at, "erp"); detach(b) },
			Live{Media: map[string]string{"offline-a": "attached"}},
			"3/3 copies, 2/2 media, 1/1 offsite, 0/1 offline, 0 unproven",
			[]string{"erp has 0 of 1 offline copies: offline-a is still attached | runner media eject offline-a, and take it away"}},
		{"the medium was taken away before it was read back", func(b *book, _ *ledger.Demands) {
			b.medium("offline-a", "detached", at)
			b.night("r", at, "erp")
		}, Live{Media: map[string]string{"offline-a": ""}},
			"3/3 copies, 2/2 media, 1/1 offsite, 0/1 offline, 0 unproven",
			[]string{"erp has 0 of 1 offline copies: it is not known whether offline-a was taken away since it was written | " +
				"runner media eject offline-a, and take it away"}},
		{"the medium is seen to be away", func(b *book, _ *ledger.Demands) { b.night("r", at, "erp") },
			Live{Media: map[string]string{"offline-a": "detached"}},
			"3/3 copies, 2/2 media, 1/1 offsite, 1/1 offline, 0 unproven", nil},
		{"another disk was taken away", func(b *book, _ *ledger.Demands) {
			b.night("r", at, "erp")
			b.facts(now, "m", ledger.Facts{Media: []ledger.Medium{{Target: "offline-a", State: "detached", At: now,
				Device: ledger.Device{ID: "serial:USB9"}}}})
		}, Live{}, "3/3 copies, 2/2 media, 1/1 offsite, 0/1 offline, 0 unproven",
			[]string{"erp has 0 of 1 offline copies: it is not known whether offline-a was taken away since it was written | " +
				"runner media eject offline-a, and take it away"}},
		{"a copy on the disk of its source beside others", func(b *book, d *ledger.Demands) {
			d.Assets[0].On = []ledger.CopyDemand{{Target: "beside", Level: 1}, {Target: "offsite", Level: 1}}
			d.Assets[0].Copies, d.Assets[0].Offline, d.Assets[0].Media = 2, 0, 1
			b.begin("r", at)
			a := b.artifact("r", "erp", at)
			b.copy(a, "beside", 2)
			b.copy(a, "offsite", 1)
			b.end("r", now, ledger.OK)
		}, Live{}, "1/2 copies, 1/1 media, 1/1 offsite, 0 offline, 0 unproven",
			[]string{besideText + " | " + besideType}},
		{"no copy but on the disk of its source", func(b *book, d *ledger.Demands) {
			d.Assets[0] = ledger.AssetDemand{Name: "vms", On: []ledger.CopyDemand{{Target: "beside", Level: 1}}}
			b.begin("r", at)
			b.copy(b.artifact("r", "erp", at), "beside", 2)
			b.end("r", now, ledger.OK)
		}, Live{}, "0 copies, 0 media, 0 offsite, 0 offline, 0 unproven",
			[]string{besideText + " | " + besideType}},
		{"a copy on the disk of its source that the site accepts", func(b *book, d *ledger.Demands) {
			d.Assets[0] = ledger.AssetDemand{Name: "vms", Copies: 1, On: []ledger.CopyDemand{{Target: "beside", Level: 1}}}
			d.Accepted = []ledger.Exception{{Item: "erp", What: ledger.OwnDisk("beside"), Reason: "a rented machine has one disk",
				Until: now.AddDate(0, 1, 0)}}
			b.begin("r", at)
			b.copy(b.artifact("r", "erp", at), "beside", 2)
			b.end("r", now, ledger.OK)
		}, Live{}, "1/1 copies, 1 media, 0 offsite, 0 offline, 0 unproven", nil},
		{"a copy on the disk of its source, where stored is enough", func(b *book, d *ledger.Demands) {
			d.Assets[0] = ledger.AssetDemand{Name: "vms", On: []ledger.CopyDemand{{Target: "beside", Level: ledger.Stored}}}
			b.begin("r", at)
			b.copy(b.artifact("r", "erp", at), "beside", ledger.Stored)
			b.end("r", now, ledger.OK)
		}, Live{}, "0 copies, 0 media, 0 offsite, 0 offline, 0 unproven", []string{besideText + " | " + besideType}},
		{"an exception for whatever the artifact lacks is none for the disk", func(b *book, d *ledger.Demands) {
			d.Assets[0] = ledger.AssetDemand{Name: "vms", On: []ledger.CopyDemand{{Target: "beside", Level: ledger.Read}}}
			d.Accepted = []ledger.Exception{{Item: "erp", Reason: "scratch disks", Until: now.AddDate(0, 1, 0)}}
			b.begin("r", at)
			b.copy(b.artifact("r", "erp", at), "beside", ledger.Read)
			b.end("r", now, ledger.OK)
		}, Live{}, "0 copies, 0 media, 0 offsite, 0 offline, 0 unproven", []string{besideText + " | " + besideType}},
		{"two folders on one disk", func(b *book, d *ledger.Demands) {
			d.Assets[0].On = []ledger.CopyDemand{{Target: "nas", Level: 1}, {Target: "second", Level: 1}, {Target: "offsite", Level: 1}}
			d.Assets[0].Offline, d.Assets[0].Media = 0, 1
			b.begin("r", at)
			a := b.artifact("r", "erp", at)
			b.copy(a, "nas", 2)
			b.copy(a, "second", 2)
			b.copy(a, "offsite", 1)
			b.end("r", now, ledger.OK)
		}, Live{}, "2/3 copies, 1/1 media, 1/1 offsite, 0 offline, 0 unproven",
			[]string{`erp has 2 of 3 copies: nas and second are one device (serial:NAS1) | in site.star: a target(...) on another device, named in on of asset(name = "vms")`}},
		{"a differential archive whose full one is not there", func(b *book, d *ledger.Demands) {
			chain(b, d, ledger.Opened, -2)
		}, Live{}, "1/3 copies, 1/2 media, 0/1 offsite, 0/1 offline, 1 unproven",
			[]string{"pve1 on offsite needs the full archive of 2026-11-20, which is not proven there | runner exec POLICY.star, with a policy " +
				"that protects vms"}},
		{"a differential archive is read back with its full one", func(b *book, d *ledger.Demands) {
			d.Assets[0].RTO = 15 * time.Second // one alone takes 11
			chain(b, d, ledger.Opened, ledger.Read)
			d.Assets[0].Copies, d.Assets[0].Media, d.Assets[0].Offline = 2, 1, 0
		}, Live{}, "2/2 copies, 1/1 media, 1/1 offsite, 0 offline, 0 unproven",
			[]string{"pve1 takes about 21 s to read back (estimate: at 102.4 MiB/s), RTO 15 s | a faster target, or in site.star: deviation(...)"}},
		{"one copy was never read back", func(b *book, _ *ledger.Demands) {
			b.begin("r", at)
			a := b.artifact("r", "erp", at)
			b.copy(a, "nas", ledger.Opened)
			b.copy(a, "offsite", ledger.Stored)
			b.copy(a, "offline-a", ledger.Read)
			detach(b)
			b.end("r", now, ledger.Failed)
		}, Live{}, "2/3 copies, 2/2 media, 0/1 offsite, 1/1 offline, 1 unproven",
			[]string{"erp on offsite is stored (not read back), demanded: read | runner retry r"}},
		{"the nightly copies are too old", func(b *book, _ *ledger.Demands) {
			b.night("r", now.Add(-50*time.Hour), "erp")
			detach(b)
			b.end("r", now, ledger.OK)
		}, Live{},
			"1/3 copies, 1/2 media, 0/1 offsite, 1/1 offline, 2 unproven",
			[]string{"erp on nas is 2 d old, demanded: at most 1 d | runner exec policies/nightly.star",
				"erp on offsite is 2 d old, demanded: at most 1 d | runner exec policies/nightly.star"}},
		{"the run is under way", func(b *book, d *ledger.Demands) {
			d.Assets[0].On = d.Assets[0].On[:1]
			d.Assets[0].Copies, d.Assets[0].Media, d.Assets[0].Offsite, d.Assets[0].Offline = 1, 1, 0, 0
			b.begin("r", at)
			b.expect(at, "r", "erp")
		}, Live{Alive: func(string) bool { return true }}, "0/1 copies, 0/1 media, 0 offsite, 0 offline, 1 unproven",
			[]string{"erp has no copy on nas | wait: run r is under way"}},
		{"the run died, in the lab", func(b *book, d *ledger.Demands) {
			d.Assets[0].On = d.Assets[0].On[:1]
			b.begin("r", at)
			b.expect(at, "r", "erp")
		}, Live{Lab: true}, "0/3 copies, 0/2 media, 0/1 offsite, 0/1 offline, 1 unproven",
			[]string{"erp has no copy on nas | runner resume --lab r"}},
		{"reading back would take longer than the RTO", func(b *book, d *ledger.Demands) {
			d.Assets[0].RTO = 5 * time.Second
			b.night("r", at, "erp")
			detach(b)
		}, Live{}, "3/3 copies, 2/2 media, 1/1 offsite, 1/1 offline, 0 unproven",
			[]string{"erp takes about 11 s to read back (estimate: at 102.4 MiB/s), RTO 5 s | a faster target, or in site.star: deviation(...)"}},
		{"nothing is demanded but an RPO", func(b *book, d *ledger.Demands) {
			d.Assets[0] = ledger.AssetDemand{Name: "vms", RPO: day}
			b.night("r", now.Add(-50*time.Hour), "erp")
			b.end("r", now, ledger.OK)
		}, Live{}, "0 copies, 0 media, 0 offsite, 0 offline, 0 unproven",
			[]string{"erp was last backed up 2 d ago, RPO 1 d | runner exec policies/nightly.star"}},
		{"a gap", func(b *book, d *ledger.Demands) {
			d.Assets[0] = ledger.AssetDemand{Name: "vms"}
			b.copy(b.artifact("r", "erp", at, ledger.Gap{What: "mp0", Why: "bind mount"}), "nas", 2)
		}, Live{}, "1 copies, 1 media, 0 offsite, 0 offline, 0 unproven",
			[]string{`erp: mp0 is left out (bind mount) | include it in the backup, or in site.star: accept_gap(item = "erp", gap = "mp0", reason = "…", until = "2027-05-23")`}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b, d := newBook(t), demands()
			c.write(b, &d)
			s := status(t, b, d, now, c.live)
			if len(s.Assets) != 1 || len(s.Assets[0].Items) != 1 {
				t.Fatalf("got %+v, want one item", s.Assets)
			}
			if got := s.Assets[0].Items[0].Sum.Of(s.Assets[0].Demanded); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			var miss []string
			for _, n := range s.Missing {
				miss = append(miss, n.Text+" | "+n.Type)
			}
			if !slices.Equal(miss, c.miss) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(miss, "\n"), strings.Join(c.miss, "\n"))
			}
		})
	}
}

func TestWhatAnInventoryNoLongerListsIsNotDemanded(t *testing.T) {
	b := newBook(t)
	b.night("old", now.Add(-5*day), "erp", "sold")
	b.night("part", now.Add(-5*time.Hour), "git")
	b.night("r", now.Add(-3*time.Hour), "erp")
	b.medium("offline-a", "detached", now)
	s := status(t, b, demands(), now, Live{})
	gone := map[string]bool{}
	for _, it := range s.Assets[0].Items {
		gone[it.Name] = it.Gone
	}
	if len(gone) != 3 || gone["erp"] || gone["git"] || !gone["sold"] || len(s.Missing) != 0 {
		t.Errorf("got gone %v, missing %v, want only sold gone and nothing missing", gone, s.Missing)
	}
}

// The newest inventory of a system tells a guest that was destroyed an hour ago from one
// that is new and was not listed yet.
func TestTheNewestInventoryOfASystemTellsWhatIsGone(t *testing.T) {
	b := newBook(t)
	list := func(run string, at time.Time, source string, names ...string) {
		b.begin(run, at)
		var f ledger.Facts
		for _, n := range names {
			f.Expected = append(f.Expected, ledger.Item{Asset: "vms", Name: n, Source: source, Label: map[string]string{"erp": "erp2"}[n]})
		}
		b.facts(at, run, f)
	}
	list("r1", now.Add(-6*time.Hour), "pve", "erp", "sold", "never")
	list("r2", now.Add(-5*time.Hour), "other", "git")
	list("r3", now.Add(-2*time.Hour), "pve", "erp")
	b.copy(b.artifact("r1", "sold", now.Add(-5*time.Hour)), "nas", ledger.Read)
	b.copy(b.artifact("r4", "new", now.Add(-time.Hour)), "nas", ledger.Read)
	s := status(t, b, demands(), now, Live{})
	var gone, there []string
	for _, it := range s.Assets[0].Items {
		if it.Gone {
			gone = append(gone, it.Name)
		} else {
			there = append(there, it.Name)
		}
	}
	if !slices.Equal(gone, []string{"never", "sold"}) && !slices.Equal(gone, []string{"sold"}) ||
		!slices.Equal(there, []string{"erp", "git", "new"}) {
		t.Errorf("got gone %q, there %q", gone, there)
	}
	var text strings.Builder
	if err := s.Text(&text, TextOptions{More: true}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"sold (no longer in the inventory; its newest copy is 5 h old, on nas)", "erp (now named erp2)"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the status does not say %q:\n%s", want, text.String())
		}
	}
}

func TestWhatTheTokenMayNotSeeIsMissing(t *testing.T) {
	b := newBook(t)
	b.night("r1", now.Add(-3*time.Hour), "erp")
	b.begin("r2", now.Add(-time.Hour))
	b.facts(now.Add(-time.Hour), "r2", ledger.Facts{Expected: []ledger.Item{{Asset: "vms", Name: "erp", ID: "100", State: ledger.Hidden,
		Source: "pve"}}})
	b.end("r2", now.Add(-time.Hour), ledger.OK)
	b.medium("offline-a", "detached", now)
	s := status(t, b, demands(), now, Live{})
	if len(s.Missing) != 1 || s.Missing[0].Severity != ledger.Failed || !strings.Contains(s.Missing[0].Text, "erp exists, and the token "+
		"may not see it: it is not saved any more; its newest copy is 2 h old") {
		t.Errorf("got %+v", s.Missing)
	}
}

// What an operator reads first: the verdict, each fault once, a line for each asset.
func TestStatusInBrief(t *testing.T) {
	b, d := newBook(t), demands()
	b.night("r", now.Add(-3*time.Hour), "erp", "mail")
	b.end("r", now, ledger.OK)
	var out bytes.Buffer
	if err := status(t, b, d, now, Live{Lab: true, Media: map[string]string{"offline-a": "attached"}}).Text(&out,
		TextOptions{Width: 100, Zone: time.UTC}); err != nil {
		t.Fatal(err)
	}
	want := `LAB  DEGRADED: 2 items protected, 1 promise open. Last run: nightly 2026-11-23 00:00 UTC, ok
LAB  TO DO (1)
LAB    2 items  0 of 1 offline copies: offline-a is still attached
LAB             erp, mail
LAB             type: runner media eject --lab offline-a, and take it away
LAB
LAB  vms  2/2  newest copies at most 2 h old  RPO 1 d
LAB
LAB  more: runner status --lab -v
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestStatusText(t *testing.T) {
	b, d := newBook(t), demands()
	d.Unprotected = []ledger.Exception{{Item: "scratch", Reason: "test machine", Until: now.Add(90 * day)}}
	b.night("r", now.Add(-3*time.Hour), "erp", "mail")
	b.end("r", now, ledger.OK)
	cases := []struct {
		name string
		s    *Status
		want string
	}{
		{"after the lab's first night", status(t, b, d, now, Live{Lab: true, Media: map[string]string{"offline-a": "detached"}}), `
LAB  PROTECTED: 2 items. Last run: nightly 2026-11-23 00:00 UTC (01:00 CET), ok
LAB
LAB  vms  Virtual Machines
LAB    SOP: RPO 1 d, RTO 1 h, retention 28 d, online copies 1 full + 27 incr., kept as 28 full
LAB    erp   3/3 copies, 2/2 media, 1/1 offsite, 1/1 offline, 0 unproven  2 h old  ~11 s  1/28 full
LAB    mail  3/3 copies, 2/2 media, 1/1 offsite, 1/1 offline, 0 unproven  2 h old  ~11 s  1/28 full
LAB    newest copies
LAB      erp   nas        2 h  opened                       1.0 GiB  serial:NAS1
LAB      erp   offline-a  2 h  read                         1.0 GiB  serial:USB1
LAB      erp   offsite    2 h  read, opened before sealing  1.0 GiB  backup@offsite at berlin
LAB      mail  nas        2 h  opened                       1.0 GiB  serial:NAS1
LAB      mail  offline-a  2 h  read                         1.0 GiB  serial:USB1
LAB      mail  offsite    2 h  read, opened before sealing  1.0 GiB  backup@offsite at berlin
LAB
LAB  recovery keys
LAB    offsite  opened a copy 2 h ago (age1x)
LAB
LAB  offline media
LAB    offline-a  away since 23 Nov, due 30 Nov  seen 2026-11-23 03:00 UTC (04:00 CET)
LAB
LAB  left out on purpose
LAB    scratch  until 2027-02-21  test machine
LAB
LAB  status at 2026-11-23 03:00 UTC (04:00 CET)
`},
		{"before anything has run", status(t, newBook(t), demands(), now, Live{}), `
NOT PROTECTED: nothing has run yet. Type: runner exec policies/nightly.star

vms  Virtual Machines
  SOP: RPO 1 d, RTO 1 h, retention 28 d, online copies 1 full + 27 incr., kept as 28 full

offline media
  offline-a  unknown  never seen

status at 2026-11-23 03:00 UTC (04:00 CET)
`},
		{"two guests fail alike", status(t, b,
			ledger.Demands{Assets: []ledger.AssetDemand{{Name: "vms", On: []ledger.CopyDemand{{Target: "tape", Level: 1}}}}}, now, Live{}), `
NOT PROTECTED: 2 of 2 items. Last run: nightly 2026-11-23 00:00 UTC (01:00 CET), ok
  2 items  no copy on tape
           erp, mail
           type: runner exec policies/nightly.star

vms
  SOP: RPO N/A, RTO N/A, retention N/A, online copies N/A
  erp   3 copies, 2 media, 1 offsite, 0 offline, 1 unproven  2 h old  ~11 s  1 full
  mail  3 copies, 2 media, 1 offsite, 0 offline, 1 unproven  2 h old  ~11 s  1 full
  newest copies
    erp   nas        2 h  opened                       1.0 GiB  serial:NAS1
    erp   offline-a  2 h  read                         1.0 GiB  serial:USB1
    erp   offsite    2 h  read, opened before sealing  1.0 GiB  backup@offsite at berlin
    mail  nas        2 h  opened                       1.0 GiB  serial:NAS1
    mail  offline-a  2 h  read                         1.0 GiB  serial:USB1
    mail  offsite    2 h  read, opened before sealing  1.0 GiB  backup@offsite at berlin

recovery keys
  offsite  opened a copy 2 h ago (age1x)

status at 2026-11-23 03:00 UTC (04:00 CET)
`},
	}
	for _, c := range cases {
		var out bytes.Buffer
		if err := c.s.Text(&out, TextOptions{More: true, Zone: time.FixedZone("CET", 3600)}); err != nil {
			t.Fatal(err)
		}
		if got, want := out.String(), strings.TrimPrefix(c.want, "\n"); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, want)
		}
		var back Status
		out.Reset()
		if err := c.s.JSON(&out); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out.Bytes(), &back); err != nil || len(back.Missing) != len(c.s.Missing) || back.Lab != c.s.Lab {
			t.Errorf("%s: the JSON reads back as %+v, %v", c.name, back, err)
		}
	}
}

func TestStatusTellsFullArchivesFromIncrements(t *testing.T) {
	b, d := newBook(t), demands()
	chain(b, &d, ledger.Opened, ledger.Read)
	for keep, want := range map[int]string{28: "2/28: 1 full + 1 incr.", 0: "1 full + 1 incr."} {
		d.Assets[0].Keep = keep
		s := status(t, b, d, now, Live{})
		var text bytes.Buffer
		if err := s.Text(&text, TextOptions{More: true}); err != nil {
			t.Fatal(err)
		}
		if it := s.Assets[0].Items[0]; it.Kept != 2 || it.Incr != 1 || !strings.Contains(text.String(), "  "+want+"\n") {
			t.Errorf("got %d kept, %d of them increments, want %q in\n%s", it.Kept, it.Incr, want, text.String())
		}
	}
}

func TestWhatLiesInChunksIsFullOnce(t *testing.T) {
	for _, c := range []struct {
		name   string
		chunks int // artifacts that lie in chunks alone
		whole  int // artifacts that lie there, and whole on another target
		want   string
	}{
		{"all of them", 28, 0, "28/28: 1 full + 27 incr."},
		{"one", 1, 0, "1/28 full"},
		{"the newest lie whole, too", 26, 2, "28/28: 2 full + 26 incr."},
		{"all lie whole, too", 0, 28, "28/28 full"},
	} {
		b, d := newBook(t), demands()
		for i := range c.chunks + c.whole {
			art := b.artifact("r"+strconv.Itoa(i), "erp", now.Add(-time.Duration(c.chunks+c.whole-i)*day))
			held := b.copy(art, "nas", ledger.Read)
			held.Files = []ledger.StoredFile{{Name: "disk.raw", Of: "erp.vma", Part: 1, Size: 1, Decoded: true}}
			b.facts(held.Created, art.Run, ledger.Facts{Copies: []ledger.Copy{held}})
			if i >= c.chunks {
				b.copy(art, "offsite", ledger.Read)
			}
		}
		var text bytes.Buffer
		if err := status(t, b, d, now, Live{}).Text(&text, TextOptions{More: true}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text.String(), "  "+c.want+"\n") || strings.Contains(text.String(), "kept as 28 full") != !strings.Contains(c.want, "incr") {
			t.Errorf("%s: want %q in\n%s", c.name, c.want, text.String())
		}
	}
}

func TestStatusSaysWhatACopyLacks(t *testing.T) {
	b, d := newBook(t), demands()
	chain(b, &d, ledger.Read, -2)
	s := status(t, b, d, now, Live{})
	var text, raw bytes.Buffer
	if err := s.Text(&text, TextOptions{More: true, Wide: true}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"read, opened before sealing, but it needs the full archive of 2026-11-20, which is not proven there",
		"opened, but it needs the full archive of 2026-11-20, which is only read there"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("status does not say %q:\n%s", want, text.String())
		}
	}
	if err := s.JSON(&raw); err != nil {
		t.Fatal(err)
	}
	var back Status
	if err := json.Unmarshal(raw.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	copies := back.Assets[0].Items[0].Copies
	if off := copies[1]; off.Level != "none" || off.Lacks == nil || off.Lacks.Level != -1 || copies[0].Level != "read" {
		t.Errorf("got %+v, want offsite at none, lacking, and nas at the read of its full archive", copies)
	}
}

func TestNothingThatASystemSaysReachesTheTerminalAsCode(t *testing.T) {
	b := newBook(t)
	evil := "erp\x1b]0;owned\x07\u202e\nLAB"
	b.night("r", now.Add(-time.Hour), evil)
	b.end("r", now, ledger.Failed, ledger.Finding{Severity: ledger.Failed, Item: evil, Text: evil + "\x1b[2J", Type: "\x1b[31m"})
	var out bytes.Buffer
	if err := status(t, b, demands(), now, Live{}).Text(&out, TextOptions{More: true}); err != nil {
		t.Fatal(err)
	}
	r, err := NewRun(t.Context(), b.catalog(), "r")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Text(&out, TextOptions{More: true}); err != nil {
		t.Fatal(err)
	}
	if err := r.Summary(&out, TextOptions{More: true}); err != nil {
		t.Fatal(err)
	}
	if i := strings.IndexAny(out.String(), "\x1b\x07\u202e"); i >= 0 {
		t.Errorf("got a control character at %d of %q", i, out.String())
	}
	if !strings.Contains(out.String(), "owned") {
		t.Error("the name itself is missing")
	}
}

// What is said of a copy that is lost together with its source.
const (
	besideText = "erp on beside lies on the disk that it was saved from (serial:NAS1): when that disk dies, so do both, and it is not counted"
	besideType = `in site.star: a target(...) on another disk, named in on of asset(name = "vms"); or ` +
		`accept_gap(item = "erp", gap = "disk of its own for beside", reason = "…", until = "2027-05-23")`
)
