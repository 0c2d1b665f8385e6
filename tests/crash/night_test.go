package crash

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

const (
	nightly    = "../../policies/virtual_machines.star" // the procedure whose steps are the longest
	everything = "../../policies/nightly.star"
)

// death kills a runner at a point of its work.
type death struct {
	event int            // after so many events; 0: not by events
	bytes int64          // after so many bytes to and from systems; 0: not by bytes
	sig   syscall.Signal // 0: SIGKILL
}

func (d death) arm(s *site) (watch func(*child, event), begun func(*child)) {
	sig := d.sig
	if sig == 0 {
		sig = syscall.SIGKILL
	}
	seen := 0
	watch = func(c *child, _ event) {
		if seen++; d.event > 0 && seen == d.event {
			c.signal(sig)
		}
	}
	begun = func(c *child) {
		if d.bytes > 0 {
			s.meter.arm(d.bytes, func() { c.signal(sig) })
		}
	}
	return watch, begun
}

// night runs the policy, kills it as told, resumes it after each death, and
// returns the run at its end.
func (s *site) night(t *testing.T, policy string, deaths ...death) report {
	t.Helper()
	s.t = t
	var said []string
	for i := 0; ; i++ {
		args := []string{"exec", policy}
		if run := s.waiting(); run != "" {
			args = []string{"resume", run}
		}
		var watch func(*child, event)
		begun := func(*child) { s.meter.arm(0, nil) }
		if i < len(deaths) {
			watch, begun = deaths[i].arm(s)
		}
		hold := make(chan struct{})
		c := s.start(func(c *child, e event) {
			<-hold
			if watch != nil {
				watch(c, e)
			}
		}, args...)
		begun(c)
		close(hold)
		code := c.wait(t)
		said = append(said, fmt.Sprintf("%v: exit code %d\n%s", args, code, c.said()))
		switch {
		case i < len(deaths) && (code == -1 || code == 130):
			s.died++
		case code == 0:
			return s.shown(t, &c.out)
		default:
			t.Fatalf("got exit code %d:\n%s", code, strings.Join(said, "\n"))
		}
	}
}

// waiting names the run that can be resumed.
func (s *site) waiting() string {
	if _, err := os.Stat(filepath.Join(s.state, "ledger.db")); err != nil {
		return ""
	}
	var runs []struct{ ID, Result string }
	if err := json.Unmarshal(s.ask(0, "runs", "--json"), &runs); err != nil {
		s.t.Fatal(err)
	}
	for _, r := range runs {
		if r.Result == "interrupted" {
			return r.ID
		}
	}
	return ""
}

// report is what a run says of itself at its end.
type report struct {
	Run    struct{ ID string }
	Result string
	Steps  []struct{ Primitive, Result string }
	Items  []struct {
		Item     string
		Artifact struct {
			ID, Consistency string
			Kind            string
			Origin          ledger.Origin
			Files           []struct{ Name, SHA256 string }
		}
		Copies []struct {
			Target, Proof string
			Sealed        bool
		}
		Gaps []struct{ What string }
	}
}

func (s *site) shown(t *testing.T, out interface{ Bytes() []byte }) report {
	t.Helper()
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("read the report: %v\n%s", err, out.Bytes())
	}
	return r
}

// digests are those of the files of every artifact, by item and place: names of
// archives tell the time.
func (r report) digests() map[string]string {
	out := map[string]string{}
	for _, i := range r.Items {
		for n, f := range i.Artifact.Files {
			out[fmt.Sprintf("%s, file %d of %d", i.Item, n+1, len(i.Artifact.Files))] = f.SHA256
		}
	}
	return out
}

// alike are the files that two undisturbed nights made alike: the others hold the
// time, or are sealed anew.
func alike(a, b report) []string {
	var out []string
	other := b.digests()
	for file, sum := range a.digests() {
		if other[file] == sum {
			out = append(out, file)
		}
	}
	return out
}

// sum is what two nights have in common when nothing was lost and nothing is
// doubled, with the digests of the files that are made alike.
func (r report) sum(alike []string) string {
	var lines []string
	sums := r.digests()
	for _, file := range alike {
		lines = append(lines, file+": "+sums[file])
	}
	for _, i := range r.Items {
		line := fmt.Sprintf("%s (%s)", i.Item, i.Artifact.Consistency)
		for _, c := range i.Copies {
			line += fmt.Sprintf(", %s: %s, sealed %v", c.Target, c.Proof, c.Sealed)
		}
		for _, g := range i.Gaps {
			line += ", without " + g.What
		}
		lines = append(lines, line)
	}
	for _, st := range r.Steps {
		lines = append(lines, st.Primitive+" "+st.Result)
	}
	slices.Sort(lines)
	return r.Result + "\n" + strings.Join(lines, "\n")
}

// archives counts the vzdump tasks that the node has seen, by guest.
func (s *site) archives(t *testing.T) map[string]int {
	t.Helper()
	tasks, err := filepath.Glob(filepath.Join(s.world, "pve", "tasks", "*:vzdump:*.json"))
	if err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	for _, path := range tasks {
		n[strings.Split(filepath.Base(path), ":")[6]]++
	}
	return n
}

// settled looks for what an undisturbed end leaves: nothing half done, nothing
// held, a ledger that verifies, and each archive of the run on the node.
func (s *site) settled(t *testing.T, r report) {
	t.Helper()
	s.whole(t)
	locks, err := filepath.Glob(filepath.Join(s.state, "leases", "*.lock"))
	if err != nil || len(locks) == 0 {
		t.Fatalf("leases: %v, %v", locks, err)
	}
	for _, path := range locks {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			t.Errorf("lease %s: %v", filepath.Base(path), err)
		}
		f.Close()
	}
	s.ask(0, "ledger", "verify")
	if run := s.waiting(); run != "" {
		t.Errorf("run %s is still waiting", run)
	}
	s.made(t, r)
	for _, i := range r.Items {
		if k := i.Artifact.Kind; k != "vm" && k != "ct" {
			continue
		}
		if _, err := os.Stat(filepath.Join(s.world, "pve", "nodes", i.Artifact.Origin.Node, i.Artifact.Origin.Path)); err != nil {
			t.Errorf("archive of %s: %v", i.Item, err)
		}
	}
}

// nextSecond waits until the clock shows another one: a storage names archives by
// the second, and two nights never are that close.
func nextSecond(t *testing.T) {
	t.Helper()
	now := time.Now()
	select {
	case <-time.After(now.Truncate(time.Second).Add(time.Second).Sub(now)):
	case <-t.Context().Done():
	}
}

// night is an undisturbed one, to hold others against.
type night struct {
	policy, sum string
	alike       []string
}

func newNight(policy string, first, second report) night {
	same := alike(first, second)
	return night{policy, second.sum(same), same}
}

// same runs a night with its deaths and holds its end against an undisturbed one.
func (s *site) same(t *testing.T, want night, deaths ...death) {
	t.Helper()
	nextSecond(t)
	before := s.archives(t)
	r := s.night(t, want.policy, deaths...)
	if got := r.sum(want.alike); got != want.sum {
		t.Errorf("the night ended otherwise than an undisturbed one:\ngot\n%s\nwant\n%s", got, want.sum)
	}
	after := s.archives(t)
	for _, id := range []string{"100", "101", "102", "103"} {
		if n := after[id] - before[id]; n != 1 {
			t.Errorf("guest %s was dumped %d times, want once", id, n)
		}
	}
	s.settled(t, r)
}
