package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// itemOn is an item of a run whose copies on some targets were read back.
func itemOn(asset, item string, targets ...string) ItemLine {
	it := ItemLine{Asset: asset, Item: item}
	for _, t := range targets {
		it.Copies = append(it.Copies, CopyLine{CopyStatus: CopyStatus{Target: t, Level: "read", Proof: "read"}})
	}
	return it
}

func lost(asset, item, text string) ledger.Finding {
	return ledger.Finding{Severity: ledger.Failed, Asset: asset, Item: item, Target: "offsite", Text: item + " " + text}
}

func TestVerdicts(t *testing.T) {
	const away = "was not copied to offsite: log in: EOF (E_TARGET_DOWN)"
	for _, c := range []struct {
		name   string
		result string
		items  []ItemLine
		found  []ledger.Finding
		want   string
	}{
		{"all is well", ledger.OK, []ItemLine{itemOn("vms", "erp", "nas")}, nil, "nightly ok: 1 of 1 items safe"},
		{"a step failed beside it", ledger.Failed, []ItemLine{itemOn("vms", "erp", "nas")}, nil,
			"nightly FAILED: 1 of 1 items safe, but a step failed"},
		{"one fell short", ledger.Failed, []ItemLine{itemOn("vms", "erp", "nas")}, []ledger.Finding{lost("vms", "erp", away)},
			"nightly FAILED: 0 of 1 items safe, erp is not (read back on nas alone)"},
		{"one is held nowhere", ledger.Failed, []ItemLine{itemOn("vms", "erp"), itemOn("vms", "git", "nas")},
			[]ledger.Finding{lost("vms", "erp", away)},
			"nightly FAILED: 1 of 2 items safe, erp is not"},
		{"two fell short alike", ledger.Failed, []ItemLine{itemOn("vms", "erp", "nas"), itemOn("vms", "git", "nas"),
			itemOn("vms", "web", "nas", "offsite")},
			[]ledger.Finding{lost("vms", "erp", away), lost("vms", "git", away)},
			"nightly FAILED: 1 of 3 items safe, these are not: erp, git (all read back on nas alone)"},
		{"each in its way", ledger.Failed, []ItemLine{itemOn("vms", "erp", "nas", "usb"), itemOn("vms", "git", "nas"), itemOn("vms", "web")},
			[]ledger.Finding{lost("vms", "erp", away), lost("vms", "git", away)},
			"nightly FAILED: 0 of 3 items safe, these are not: erp, git, web (read back: erp on nas, usb; git on nas; web nowhere)"},
		{"many ways", ledger.Failed, []ItemLine{itemOn("vms", "a", "n1"), itemOn("vms", "b", "n2"), itemOn("vms", "c", "n3"), itemOn("vms", "d")},
			[]ledger.Finding{lost("vms", "a", away), lost("vms", "b", away), lost("vms", "c", away)},
			"nightly FAILED: 0 of 4 items safe, these are not: a, b, c, d (3 of these read back on fewer targets than demanded, 1 on none)"},
		{"two assets have an item of one name", ledger.Failed,
			[]ItemLine{itemOn("hosts", "pve1", "nas"), itemOn("rules", "pve1", "nas", "offsite")},
			[]ledger.Finding{lost("hosts", "pve1", away)}, "nightly FAILED: 1 of 2 items safe, pve1 is not (read back on nas alone)"},
		{"both of them fell short", ledger.Failed, []ItemLine{itemOn("hosts", "pve1", "nas"), itemOn("rules", "pve1", "nas")},
			[]ledger.Finding{lost("hosts", "pve1", away), lost("rules", "pve1", away)},
			"nightly FAILED: 0 of 2 items safe, these are not: pve1 (hosts), pve1 (rules) (all read back on nas alone)"},
		{"nothing is demanded", ledger.OK, []ItemLine{{Asset: "dns", Item: "example.org", Free: true}}, nil,
			"nightly ok: 1 item made, no copy demanded"},
		{"nothing is demanded of some", ledger.OK, []ItemLine{itemOn("vms", "erp", "nas"), {Asset: "dns", Item: "example.org", Free: true}}, nil,
			"nightly ok: 1 of 1 items safe, 1 more made, no copy demanded"},
		{"a copy that nobody demanded counts", ledger.OK,
			[]ItemLine{{Asset: "dns", Item: "example.org", Free: true, Copies: itemOn("", "", "nas").Copies}}, nil,
			"nightly ok: 1 of 1 items safe"},
		{"one of which copies are demanded was only made", ledger.DegradedRun, []ItemLine{{Asset: "dns", Item: "example.org"}}, nil,
			"nightly DEGRADED: 0 of 1 items safe, example.org is not"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &Run{Header: ledger.Run{ID: "r", Policy: "//nightly.star"}, Result: c.result, Outcome: &ledger.RunOutcome{Result: c.result},
				Items: c.items, Findings: c.found}
			var out bytes.Buffer
			if err := r.Summary(&out, TextOptions{Width: 200, Zone: time.UTC}); err != nil {
				t.Fatal(err)
			}
			if got, _, _ := strings.Cut(out.String(), "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// One fault is reported once: with all that it concerns, whatever its words were each time.
func TestAFaultIsToldOnce(t *testing.T) {
	r := &Run{Header: ledger.Run{ID: "r", Policy: "//nightly.star"}, Result: ledger.Failed, Outcome: &ledger.RunOutcome{Result: ledger.Failed}}
	for i, why := range []string{"EOF (E_TARGET_DOWN)", "connection reset by peer (E_TARGET_DOWN)", "disk full (E_TARGET_FULL)"} {
		f := lost("vms", fmt.Sprint("vm", i), "was not copied to offsite: log in: "+why)
		f.Hint = "look at sshd's log"
		r.Findings = append(r.Findings, f, lost("vms", f.Item, "has no copy on offsite from this run; no copy exists at all"))
	}
	r.Findings = append(r.Findings, lost("vms", "vm9", "has no copy on offsite from this run; no copy exists at all"))
	for _, asset := range []string{"hosts", "dns"} {
		r.Findings = append(r.Findings, ledger.Finding{Severity: ledger.Failed, Asset: asset, Text: "nothing of " + asset + " was ever backed up",
			Type: "runner exec POLICY.star, with a policy that protects " + asset})
	}
	for _, target := range []string{"usb", "offsite"} {
		r.Findings = append(r.Findings, ledger.Finding{Severity: ledger.DegradedRun, Target: target,
			Text: "the ledger's checkpoint was not left on " + target + ": disk full", Type: "runner ledger verify"})
	}
	var out bytes.Buffer
	if err := r.Summary(&out, TextOptions{Width: 120, Zone: time.UTC}); err != nil {
		t.Fatal(err)
	}
	want := `nightly FAILED: 0 of 4 items safe, these are not: vm0, vm1, vm2, vm9
  2 items   were not copied to offsite: log in: EOF (E_TARGET_DOWN)
            vm0, vm1
            hint: look at sshd's log
  vm2       was not copied to offsite: log in: disk full (E_TARGET_FULL)
            hint: look at sshd's log
  vm9       has no copy on offsite from this run; no copy exists at all
  2 assets  nothing of them was ever backed up
            hosts, dns
            type: runner exec POLICY.star, with a policy that protects them
TO DO (1)
  2 targets  the ledger's checkpoint was not left on them: disk full
             usb, offsite
             type: runner ledger verify
run r: failed after 0.0 s
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// What does not fit the terminal goes on below; without one a row stays one line.
func TestTablesFitTheTerminal(t *testing.T) {
	rows := [][]string{{"asset", "item", "size", "time", "copies"},
		{"networking", "cloudflare", "6.3 KiB", "2.7 s", "opened on second-disk; read, opened before sealing on offline-a, offsite"}}
	for _, c := range []struct {
		name string
		o    TextOptions
		want string
	}{
		{"no terminal", TextOptions{Width: 60, Wide: true}, "asset       item        size     time   copies\n" +
			"networking  cloudflare  6.3 KiB  2.7 s  opened on second-disk; read, opened before sealing on offline-a, offsite\n"},
		{"80", TextOptions{Width: 80}, "asset       item        size     time   copies\n" +
			"networking  cloudflare  6.3 KiB  2.7 s  opened on second-disk; read, opened\n" +
			"                                        before sealing on offline-a, offsite\n"},
		{"60", TextOptions{Width: 60}, "asset       item        size     time   copies\n" +
			"networking  cloudflare  6.3 KiB  2.7 s\n" +
			"            opened on second-disk; read, opened before\n" +
			"            sealing on offline-a, offsite\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			p := newPrinter(&out, c.o, false)
			p.table("", rows)
			if err := p.flush(); err != nil {
				t.Fatal(err)
			}
			if got := out.String(); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
	var out bytes.Buffer
	p := newPrinter(&out, TextOptions{Width: 40}, false)
	p.toType("    ", "runner lab detach offline-a --state /var/lib/runner-lab")
	p.toType("    ", "runner exec POLICY.star, with a policy that protects vms")
	p.toType("    ", "runner check names the jobs: give them a storage")
	if err := p.flush(); err != nil {
		t.Fatal(err)
	}
	want := "    type: runner lab detach offline-a --state /var/lib/runner-lab\n    type: runner exec POLICY.star, with\n          a " +
		"policy that protects vms\n" +
		"    type: runner check names the jobs:\n          give them a storage\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
