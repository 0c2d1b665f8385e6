package report

import (
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// A sealed copy is worth what is known of its key.
func TestRecoveryKeysHaveToBeTried(t *testing.T) {
	at := now.Add(-3 * time.Hour)
	for _, c := range []struct {
		name     string
		keys     []ledger.KeyProof
		severity string
		words    string
	}{
		{"never", nil, ledger.Failed, "no recovery key was ever tried on offsite"},
		{"yesterday", []ledger.KeyProof{{Recipient: "age1x", Target: "offsite", At: now.Add(-day)}}, "", ""},
		{"180 days ago", []ledger.KeyProof{{Recipient: "age1x", Target: "offsite", At: now.Add(-180 * day)}}, "", ""},
		{"longer ago", []ledger.KeyProof{{Recipient: "age1x", Target: "offsite", At: now.Add(-181 * day)}}, ledger.DegradedRun,
			"was last tried on offsite 181 d"},
		{"longer ago and again", []ledger.KeyProof{{Recipient: "age1x", Target: "offsite", At: now.Add(-181 * day)},
			{Recipient: "age1x", Target: "offsite", At: now.Add(-day)}}, "", ""},
		{"another key", []ledger.KeyProof{{Recipient: "age1old", Target: "offsite", At: now.Add(-day)}}, ledger.Failed, "ever tried"},
		{"another target", []ledger.KeyProof{{Recipient: "age1x", Target: "offline-a", At: now.Add(-day)}}, ledger.Failed, "ever tried"},
		{"in the future", []ledger.KeyProof{{Recipient: "age1x", Target: "offsite", At: now.Add(day)}}, ledger.Failed, "ever tried"},
	} {
		b := newBook(t)
		b.night("r", at, "erp")
		b.medium("offline-a", "detached", now.Add(-time.Hour))
		// The night's own proof is taken back by one that is as new as the row of this case.
		b.facts(now, "k", ledger.Facts{Keys: append([]ledger.KeyProof{{Recipient: "age1x", Target: "offsite"}}, c.keys...)})
		s := status(t, b, demands(), now, Live{})
		if len(s.Keys) != 1 || s.Keys[0].Target != "offsite" {
			t.Errorf("%s: got keys %+v", c.name, s.Keys)
		}
		switch {
		case c.severity == "" && len(s.Missing) > 0:
			t.Errorf("%s: got %+v", c.name, s.Missing)
		case c.severity != "" && (len(s.Missing) != 1 || s.Missing[0].Severity != c.severity || !strings.Contains(s.Missing[0].Text, c.words) ||
			s.Missing[0].Type != "runner recovery-key test --target offsite"):
			t.Errorf("%s: got %+v, want %s %q", c.name, s.Missing, c.severity, c.words)
		}
	}
}

func TestCopiesForKeysThatWereReplacedAreMarked(t *testing.T) {
	b := newBook(t)
	at := now.Add(-3 * time.Hour)
	b.begin("r", at)
	seal := func(set string, at time.Time) ledger.Artifact {
		a := ledger.Artifact{ID: ledger.ArtifactID("r", set+at.String()), Kind: "secrets", Asset: "vms", Item: "keyring", Run: "r", Created: at,
			Bytes: 1, Declared: map[string]string{"set": set}}
		b.facts(at, "r", ledger.Facts{Artifacts: []ledger.Artifact{a}})
		return a
	}
	b.copy(seal("one", at), "offline-a", ledger.Read)
	b.copy(seal("one", at.Add(time.Hour)), "offsite", ledger.Read)
	b.copy(seal("two", at.Add(2*time.Hour)), "nas", ledger.Opened)
	s := status(t, b, demands(), now, Live{})
	for _, c := range s.Assets[0].Items[0].Copies {
		if marked := strings.Contains(c.Proof, "superseded"); marked != (c.Target != "nas") {
			t.Errorf("%s: got %q", c.Target, c.Proof)
		}
	}
}

func TestARunShowsThatItsKeysWereReplaced(t *testing.T) {
	for _, later := range []string{"one", "two"} {
		b := newBook(t)
		at := now.Add(-3 * time.Hour)
		for i, run := range []string{"r", "s"} {
			at := at.Add(time.Duration(i) * time.Hour)
			b.begin(run, at)
			a := ledger.Artifact{ID: ledger.ArtifactID(run, "/0"), Kind: "secrets", Asset: "vms", Item: "keyring", Run: run, Created: at, Bytes: 1,
				Declared: map[string]string{"set": []string{"one", later}[i]}}
			b.facts(at, run, ledger.Facts{Artifacts: []ledger.Artifact{a}})
			b.copy(a, "nas", ledger.Opened)
		}
		for run, want := range map[string]bool{"r": later == "two", "s": false} {
			r, err := NewRun(t.Context(), b.catalog(), run)
			if err != nil || len(r.Items) != 1 || len(r.Items[0].Copies) != 1 {
				t.Fatalf("got %+v, %v", r, err)
			}
			if p := r.Items[0].Copies[0].Proof; strings.Contains(p, "superseded") != want {
				t.Errorf("run %s, then set %s: got %q", run, later, p)
			}
		}
	}
}
