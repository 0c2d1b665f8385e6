package report

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

func TestComplete(t *testing.T) {
	began := now.Add(-30 * time.Minute)
	cases := []struct {
		name  string
		write func(b *book, d *ledger.Demands)
		want  []string      // severity, text, hint
		since time.Duration // before now; 0: half an hour
	}{
		{"everything has its proof", func(b *book, _ *ledger.Demands) { b.night("r", began, "erp", "mail") }, nil, 0},
		{"nobody listed what the asset holds", func(b *book, _ *ledger.Demands) { b.begin("r", began) },
			[]string{`degraded: nobody listed what vms holds: nothing of it was judged | in site.star: asset(name = "vms", items = […]), or call an inventory such as guests() in the policy`}, 0},
		{"the inventory failed", func(b *book, _ *ledger.Demands) {
			b.begin("r", began)
			b.entry(ledger.StepEnd, began, "r", "/0", ledger.End{Call: &ledger.Begin{Primitive: "guests", Kind: "read", Position: "vms.star:11:44"},
				Failure: &ledger.Failure{Code: "E_PVE_AUTH", Message: "proxmox pve: list guests: 401"}})
		}, []string{"degraded: nobody listed what vms holds: nothing of it was judged; guests at vms.star:11:44 failed"}, 0},
		{"the inventory of a group failed", func(b *book, d *ledger.Demands) {
			d.Assets[0].In = []string{"guests"}
			b.begin("r", began)
			b.entry(ledger.StepEnd, began, "r", "/0", ledger.End{Call: &ledger.Begin{Primitive: "guests", Kind: "read", Position: "vms.star:11:44"},
				Failure: &ledger.Failure{Code: "E_PVE_AUTH", Message: "proxmox pve: list guests: 401"}})
		}, []string{"degraded: nobody listed what vms holds: nothing of it was judged; guests at vms.star:11:44 failed"}, 0},
		{"a group that chooses nothing", func(b *book, d *ledger.Demands) {
			d.Assets[0].In = []string{"guests"}
			b.begin("r", began)
		}, []string{"degraded: nothing belongs to vms: what it chooses is not there | correct guests = … of asset(name = \"vms\") in " +
			"site.star, or " +
			"the tags and pools that it names; or remove it"}, 0},
		{"the site does not state the asset", func(_ *book, d *ledger.Demands) { d.Assets = nil },
			[]string{`failed: the policy protects vms, the site states nothing of it | in site.star: asset(name = "vms", …)`}, 0},
		{"a fixed item was forgotten", func(b *book, d *ledger.Demands) {
			d.Assets[0].Items, d.Assets[0].On = []string{"wiki"}, nil
			b.night("r", began, "erp")
		}, []string{"failed: wiki was not backed up by this run"}, 0},
		{"a guest of the inventory has no copy, and an old one elsewhere", func(b *book, _ *ledger.Demands) {
			a := b.artifact("old", "erp", now.Add(-50*time.Hour))
			b.copy(a, "nas", ledger.Opened)
			b.copy(a, "offline-a", ledger.Read)
			b.begin("r", began)
			b.expect(began, "r", "erp")
		}, []string{
			"failed: erp has no copy on nas from this run; newest: 2 d old, opened",
			"failed: erp has no copy on offsite from this run; no copy exists at all"}, 0},
		{"a guest that no inventory lists is judged, too", func(b *book, d *ledger.Demands) {
			d.Assets[0].On = nil
			b.begin("r", began)
			b.expect(began, "r", "erp")
			b.artifact("r", "erp", began)
			b.artifact("r", "wiki", began, ledger.Gap{What: "mp0", Why: "bind mount"})
		}, []string{`degraded: wiki: mp0 is left out (bind mount) | include it in the backup, or in site.star: accept_gap(item = "wiki", gap = "mp0", reason = "…", until = "2027-05-23")`}, 0},
		{"a gap that nobody chose", func(b *book, d *ledger.Demands) {
			d.Assets[0].On = nil
			b.begin("r", began)
			b.expect(began, "r", "fw")
			b.artifact("r", "fw", began, ledger.Gap{What: "cluster/rules", Why: "Permission check failed (/, Sys.Audit)",
				Mend: "give Sys.Audit on /"},
				ledger.Gap{What: "guest/103", Why: "Permission check failed (/vms/103, VM.Audit)", Mend: "give VM.Audit on /vms/103"},
				ledger.Gap{What: "cluster/ipset", Why: "Permission check failed (/, Sys.Audit)", Mend: "give Sys.Audit on /"})
		}, []string{"failed: fw: cluster/rules, cluster/ipset are left out (Permission check failed (/, Sys.Audit)) | give Sys.Audit on /",
			"failed: fw: guest/103 is left out (Permission check failed (/vms/103, VM.Audit)) | give VM.Audit on /vms/103"}, 0},
		{"a guest that is left out on purpose", func(b *book, d *ledger.Demands) {
			d.Unprotected = []ledger.Exception{{Item: "scratch", Reason: "test", Until: now.Add(day)}}
			b.night("r", began, "erp")
			b.expect(began, "r", "scratch")
		}, nil, 0},
		{"a copy that was not read back", func(b *book, _ *ledger.Demands) {
			b.expect(began, "r", "erp")
			a := b.artifact("r", "erp", began)
			b.copy(a, "nas", ledger.Opened)
			b.copy(a, "offsite", ledger.Stored)
			b.copy(a, "offline-a", ledger.Read)
		}, []string{"failed: erp on offsite is stored (not read back), demanded: read"}, 0},
		{"a sealed copy where opened is demanded", func(b *book, d *ledger.Demands) {
			d.Assets[0].On[2].Level = ledger.Opened
			b.night("r", began, "erp")
		}, []string{"failed: erp on offsite is read, opened before sealing, demanded: opened"}, 0},
		{"a copy without any proof", func(b *book, _ *ledger.Demands) {
			b.expect(began, "r", "erp")
			a := b.artifact("r", "erp", began)
			b.copy(a, "nas", -1)
			b.copy(a, "offsite", ledger.Read)
			b.copy(a, "offline-a", ledger.Read)
		}, []string{"failed: erp on nas is unproven, demanded: opened"}, 0},
		{"a copy that was found damaged", func(b *book, _ *ledger.Demands) {
			b.night("r", began, "erp")
			copies, _ := b.catalog().Copies(b.t.Context(), ledger.Query{Target: "nas"})
			b.facts(now, "r", ledger.Facts{Damaged: []string{copies[0].ID}})
		}, []string{"failed: erp on nas is unproven, demanded: opened"}, 0},
		{"an artifact that the node dated a little before the run", func(b *book, _ *ledger.Demands) {
			b.night("r", began.Add(-90*time.Second), "erp") // taken half a minute before
		}, nil, 0},
		{"a clock that was set forward when the copy was made", func(b *book, d *ledger.Demands) {
			d.Assets[0].On = d.Assets[0].On[:1]
			b.expect(began, "r", "erp")
			b.copy(b.artifact("r", "erp", now.Add(9*day)), "nas", ledger.Opened)
		}, []string{"failed: erp on nas is dated 2026-12-02 03:00 UTC, which is in the future | check the clocks of this host and of the " +
			"system that is backed up: timedatectl"}, 0},
		{"a retry after more than the RPO", func(b *book, d *ledger.Demands) {
			d.Assets[0].On = d.Assets[0].On[:1]
			b.expect(began, "r", "erp")
			b.copy(b.artifact("r", "erp", now.Add(-26*time.Hour)), "nas", ledger.Opened)
		}, []string{"failed: erp on nas is 26 h old, demanded: at most 1 d"}, 27 * time.Hour},
		{"an offline medium that is not due", func(b *book, _ *ledger.Demands) { offline(b, now.Add(-6*day)) }, nil, 0},
		{"an offline medium that is due", func(b *book, _ *ledger.Demands) { offline(b, now.Add(-9*day)) },
			[]string{"degraded: offline-a is overdue: erp on it is 9 d old, due every 7 d | attach offline-a"}, 0},
		{"an offline medium past its grace", func(b *book, _ *ledger.Demands) { offline(b, now.Add(-11*day)) },
			[]string{"failed: offline-a is overdue: erp on it is 11 d old, due every 7 d, and its grace of 3 d is over | attach offline-a"}, 0},
		{"an offline medium in the first night", func(b *book, _ *ledger.Demands) { offline(b, time.Time{}) },
			[]string{"degraded: erp has no copy on offline-a, and never had one | attach offline-a"}, 0},
		{"an offline medium that nobody ever fetched", func(b *book, _ *ledger.Demands) {
			b.artifact("first", "erp", now.Add(-11*day))
			offline(b, time.Time{})
		}, []string{"failed: erp has no copy on offline-a, and never had one, and its grace of 3 d is over | attach offline-a"}, 0},
		{"an offline medium that was only written, never read back", func(b *book, d *ledger.Demands) {
			d.Assets[0].On = d.Assets[0].On[1:2]
			b.expect(began, "r", "erp")
			b.copy(b.artifact("r", "erp", began), "offline-a", ledger.Stored)
		}, []string{"failed: erp on offline-a is stored (not read back), demanded: read | attach offline-a"}, 0},
		{"an offline medium that is there, and was only written", func(b *book, d *ledger.Demands) {
			d.Assets[0].On = d.Assets[0].On[1:2]
			b.expect(began, "r", "erp")
			b.copy(b.artifact("r", "erp", began), "offline-a", ledger.Stored)
			b.facts(now, "r", ledger.Facts{Media: []ledger.Medium{{Target: "offline-a", State: "attached", At: now}}})
		}, []string{"failed: erp on offline-a is stored (not read back), demanded: read"}, 0},
		{"an offline medium that was there before this run, and was only written", func(b *book, d *ledger.Demands) {
			d.Assets[0].On = d.Assets[0].On[1:2]
			b.expect(began, "r", "erp")
			b.copy(b.artifact("r", "erp", began), "offline-a", ledger.Stored)
			b.facts(now, "r", ledger.Facts{Media: []ledger.Medium{{Target: "offline-a", State: "attached", At: began.Add(-day)}}})
		}, []string{"failed: erp on offline-a is stored (not read back), demanded: read | attach offline-a"}, 0},
		{"a differential archive beside its full one", func(b *book, d *ledger.Demands) { chain(b, d, ledger.Opened, ledger.Read) }, nil, 0},
		{"a differential archive whose full one is not there", func(b *book, d *ledger.Demands) { chain(b, d, ledger.Opened, -2) },
			[]string{"failed: pve1 on offsite needs the full archive of 2026-11-20, which is not proven there"}, 0},
		{"a differential archive whose full one was not read back",
			func(b *book, d *ledger.Demands) { chain(b, d, ledger.Opened, ledger.Stored) },
			[]string{"failed: pve1 on offsite needs the full archive of 2026-11-20, which is not proven there"}, 0},
		{"a differential archive whose full one was never opened", func(b *book, d *ledger.Demands) { chain(b, d, ledger.Read, ledger.Read) },
			[]string{"failed: pve1 on nas needs the full archive of 2026-11-20, which is read there, demanded: opened"}, 0},
		{"a gap that nobody accepted", func(b *book, d *ledger.Demands) { gap(b, d, began) },
			[]string{`degraded: erp: disk scsi1 is left out (backup=0) | include it in the backup, or in site.star: accept_gap(item = "erp", gap = "disk scsi1", reason = "…", until = "2027-05-23")`}, 0},
		{"a gap that is accepted", func(b *book, d *ledger.Demands) {
			d.Accepted = []ledger.Exception{{Item: "erp", What: "disk scsi1", Until: now.Add(time.Hour)}}
			gap(b, d, began)
		}, nil, 0},
		{"a gap whose acceptance ended", func(b *book, d *ledger.Demands) {
			d.Accepted = []ledger.Exception{{Item: "erp", What: "disk scsi1", Until: now.Add(-time.Hour)}}
			gap(b, d, began)
		}, []string{`degraded: erp: disk scsi1 is left out (backup=0); that was accepted until 2026-11-23 | include it in the backup, or in site.star: accept_gap(item = "erp", gap = "disk scsi1", reason = "…", until = "2027-05-23")`}, 0},
		{"exceptions that ended and a review that is due", func(b *book, d *ledger.Demands) {
			b.night("r", began, "erp")
			d.Unprotected = []ledger.Exception{{Item: "scratch", Reason: "test", Until: now}}
			d.Accepted = []ledger.Exception{{Item: "mail", Reason: "old", Until: now}, {Asset: "logs", Item: "x", Until: now}}
			d.Deviations = []ledger.Deviation{{SOP: "IT-245", Step: "4.2", ApprovedBy: "cto", Review: now},
				{SOP: "IT-245", Step: "5", Review: now.Add(day)}}
		}, []string{
			`degraded: scratch was left out until 2026-11-23 (test): that is over | in site.star: remove unprotected(guest = "scratch", …), or give it a new date`,
			`degraded: a gap of mail was accepted until 2026-11-23 (old): that is over | in site.star: remove accept_gap(item = "mail", …), or give it a new date`,
			`degraded: the deviation from IT-245, 4.2, was to be reviewed by 2026-11-23 | review it with cto, then give it a new date in site.star`}, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b, d := newBook(t), demands()
			c.write(b, &d)
			found, err := Complete(t.Context(), b.catalog(), d, judged("r", now.Add(-cmp.Or(c.since, 30*time.Minute))))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range found {
				got = append(got, strings.TrimSuffix(f.Severity+": "+f.Text+" | "+f.Type, " | "))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// offline records a complete night whose offline copy is of an earlier time.
func offline(b *book, at time.Time) {
	if !at.IsZero() {
		b.copy(b.artifact("earlier", "erp", at), "offline-a", ledger.Read)
	}
	b.expect(now.Add(-20*time.Minute), "r", "erp")
	a := b.artifact("r", "erp", now.Add(-20*time.Minute))
	b.copy(a, "nas", ledger.Opened)
	b.copy(a, "offsite", ledger.Read)
}

// chain records a night with a differential archive, proven as demanded, and its
// full one of some nights before, proven to nas and offsite; -2: no copy.
func chain(b *book, d *ledger.Demands, nas, offsite int) {
	d.Assets[0].On = []ledger.CopyDemand{{Target: "nas", Level: ledger.Opened}, {Target: "offsite", Level: ledger.Read}}
	at := now.Add(-20 * time.Minute)
	full := b.artifact("earlier", "pve1", now.Add(-3*day))
	for target, level := range map[string]int{"nas": nas, "offsite": offsite} {
		if level > -2 {
			b.copy(full, target, level)
		}
	}
	b.expect(at, "r", "pve1")
	diff := b.artifact("r", "pve1", at)
	diff.Needs = []string{full.ID}
	b.facts(at, "r", ledger.Facts{Artifacts: []ledger.Artifact{diff}})
	b.copy(diff, "nas", ledger.Opened)
	b.copy(diff, "offsite", ledger.Read)
}

func gap(b *book, d *ledger.Demands, at time.Time) {
	d.Assets[0].On = d.Assets[0].On[:1]
	b.expect(at, "r", "erp")
	b.copy(b.artifact("r", "erp", at, ledger.Gap{What: "disk scsi1", Why: "backup=0"}), "nas", ledger.Opened)
}

func TestARunThatProtectsNothingIsNotJudged(t *testing.T) {
	d := demands()
	d.Deviations = []ledger.Deviation{{Review: now}}
	got, err := Complete(t.Context(), newBook(t).catalog(), d, ledger.Judged{Run: "r", Now: now})
	if err != nil || got != nil {
		t.Errorf("got %v, %v, want nothing", got, err)
	}
}

// A retry is judged by what it took over, too, though its policy protects nothing.
func TestARetryIsJudgedByWhatItTookOver(t *testing.T) {
	began := now.Add(-30 * time.Minute)
	for name, c := range map[string]struct {
		offline bool
		want    []string
	}{
		"the medium is still away": {false, []string{"degraded: erp has no copy on offline-a, and never had one | attach offline-a"}},
		"the medium was attached":  {true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook(t)
			b.begin("first", began)
			a := b.artifact("first", "erp", began)
			b.copy(a, "nas", ledger.Opened)
			b.copy(a, "offsite", ledger.Read)
			b.begin("second", now.Add(-time.Minute), func(h *ledger.Run) { h.RetryOf = "first" })
			value, err := json.Marshal(map[string]any{"$type": a.StarlarkType(), "id": a.ID, "asset": a.Asset, "item": a.Item, "run": a.Run})
			if err != nil {
				t.Fatal(err)
			}
			b.entry(ledger.StepEnd, now, "second", "/0", ledger.End{Call: &ledger.Begin{Primitive: "snapshot_vm", Kind: "write"}, OK: true,
				Value: value, Reused: "first"})
			if c.offline {
				again := a
				again.Run = "second"
				b.copy(again, "offline-a", ledger.Read)
			}
			found, err := Complete(t.Context(), b.catalog(), demands(), ledger.Judged{Run: "second", Since: began, Now: now})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range found {
				got = append(got, strings.TrimSuffix(f.Severity+": "+f.Text+" | "+f.Type, " | "))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Of a complete run, no copy and no proof can be missed.
func TestWithoutAnyOneCopyOrProofTheRunIsNotOK(t *testing.T) {
	began := now.Add(-30 * time.Minute)
	full := newBook(t)
	full.night("r", began, "erp", "mail", "git")
	copies, err := full.catalog().Copies(t.Context(), ledger.Query{})
	if err != nil || len(copies) != 9 {
		t.Fatalf("got %d copies, %v, want 9", len(copies), err)
	}
	for _, c := range copies {
		for what, f := range map[string]ledger.Facts{"copy": {Removed: []string{c.ID}}, "proof": {Damaged: []string{c.ID}}} {
			b := newBook(t)
			b.night("r", began, "erp", "mail", "git")
			b.facts(now, "r", f)
			found, err := Complete(t.Context(), b.catalog(), demands(), judged("r", began))
			if err != nil {
				t.Fatal(err)
			}
			if len(found) != 1 || found[0].Item != c.Item || found[0].Target != c.Target {
				t.Errorf("without the %s of %s on %s: got %+v, want one finding that names them", what, c.Item, c.Target, found)
			}
		}
	}
}
