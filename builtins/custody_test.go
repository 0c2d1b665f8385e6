package builtins

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/builtins/recoverykey"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

// A share is lost with its custodian's key: where too few are left, the secrets are.
func TestWhatNeedsTheKeyOfACustodian(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.keys(nil)
	var list []string
	print := map[string]string{}
	for _, name := range []string{"anna", "ben", "carla", "key"} {
		_, recipient := newKey(t)
		print[name] = Fingerprint(recipient)
		list = append(list, fmt.Sprintf("%q: %q", name, recipient))
		print["recipient of "+name] = recipient
	}
	two, three := "{"+strings.Join(list[:2], ", ")+"}", "{"+strings.Join(list[:3], ", ")+"}"
	for _, c := range []struct {
		name, call, old string
		inUse           []string
		bound           int
		left            int // -1: no set loses a share
	}{
		{"2 of 2", "threshold = 2, custodians = " + two, "anna", []string{"ben"}, 1, 1},
		{"2 of 3", "threshold = 2, custodians = " + three, "anna", []string{"ben", "carla"}, 0, 2},
		{"2 of 3, and another one is gone", "threshold = 2, custodians = " + three, "anna", []string{"carla"}, 1, 1},
		{"somebody who was no custodian", "threshold = 2, custodians = " + two, "carla", []string{"anna", "ben"}, 0, -1},
		{"2 of 2, and a key that opens all", fmt.Sprintf("threshold = 2, recipients = [%q], custodians = %s", print["recipient of key"], two),
			"anna", []string{"ben", "key"}, 0, 1},
		{"the key that opens all, and enough custodians", fmt.Sprintf("threshold = 2, recipients = [%q], custodians = %s",
			print["recipient of key"], two), "key", []string{"anna", "ben"}, 0, -1},
		{"the key that opens all, and too few custodians", fmt.Sprintf("threshold = 2, recipients = [%q], custodians = %s",
			print["recipient of key"], two), "key", []string{"ben"}, 1, -1},
		{"a key alone", fmt.Sprintf("recipients = [%q]", print["recipient of key"]), "key", []string{"anna"}, 1, -1},
	} {
		b.store.Store = ledger.NewMemory()
		b.good("copy(artifact = seal_secrets(" + c.call + `), to = ["second-disk"])`)
		var inUse []string
		for _, name := range c.inUse {
			inUse = append(inUse, print[name])
		}
		bound, sets, err := recoverykey.BoundTo(t.Context(), ledger.Catalog{Store: b.store}, print[c.old], inUse)
		if err != nil || len(bound) != c.bound {
			t.Errorf("%s: got %+v, %v, want %d copies", c.name, bound, err, c.bound)
		}
		if want := c.left >= 0; (len(sets) == 1) != want || want &&
			(sets[0].Left != c.left || sets[0].Threshold != 2 || sets[0].Custodian != c.old || sets[0].Copies != 1) {
			t.Errorf("%s: got sets %+v, want %d left", c.name, sets, c.left)
		}
	}
}

// That a target's seal opens is not a proof for secrets that are sealed to others.
func TestAKeyIsNotProvenOnSecretsForOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.keys(map[string]string{"cloudflare-token": string(lab.Secrets()["cloudflare-token"])})
	_, other := newKey(t)
	b.good(fmt.Sprintf(`copy(artifact = seal_secrets(recipients = [%q]), to = ["offsite"])`, other))
	try := func() (ledger.KeyProof, string, error) {
		s, err := site.Load("site.star", []byte(b.site), runtime.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		w := systems.New(s, systems.Env{Root: b.lab.Root(), Dial: b.lab.Dial, Roots: lab.Roots(), Device: b.lab.Device, Program: b.lab.Program,
			Keyring: labKeyring(b.ring), Version: "test",
			Spool: filepath.Join(b.dir, "spool")})
		defer w.Close()
		return recoverykey.Try(t.Context(), w, ledger.Catalog{Store: b.store}, "offsite", recoveryIdentity(t)[0])
	}
	if p, note, err := try(); err == nil || !strings.Contains(err.Error(), "its secrets are sealed to others: "+Fingerprint(other)) {
		t.Errorf("nothing but secrets for others: got %+v, %q, %v", p, note, err)
	}
	b.good(`copy(artifact = export_dns(zone = "example.org"), to = ["offsite"])`)
	p, note, err := try()
	zone := b.copies("offsite")
	if err != nil || p.What != "header" || p.Copy != zone[len(zone)-1].ID ||
		!strings.Contains(note, "are not for this key: they are sealed to "+Fingerprint(other)) {
		t.Errorf("another copy, too: got %+v, %q, %v", p, note, err)
	}
	b.good(`copy(artifact = seal_secrets(), to = ["offsite"])`)
	if p, note, err := try(); err != nil || note != "" || p.What != "canary" {
		t.Errorf("secrets for this key: got %+v, %q, %v", p, note, err)
	}
}
