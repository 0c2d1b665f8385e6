package decoded_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/target"
	. "github.com/neosofia/runner/builtins/internal/target/targettest"
)

// victim is a process that mirrors, and tells of each blob. The test that starts it kills it.
const victim = "RUNNER_MIRROR_VICTIM"

func TestVictim(t *testing.T) {
	said := os.Getenv(victim)
	if said == "" {
		t.Skip("it is for another test to start")
	}
	f := strings.Fields(said)
	p := &pair{t: t, disk: f[0], away: f[1], recipient: f[2], repositories: &target.Repositories{}}
	p.progress = func(done, total int64) { fmt.Println("sealed", done, total) }
	if o := p.copyTo(night(t, 24, random(1, 26<<20))); o.Err != nil {
		t.Error(o.Err)
	}
}

// A mirror is killed while it sends; the repository is compacted; what comes then sends the rest, and a prune removes what nobody needs.
func TestAMirrorThatWasKilledGoesOnAndACompactionInBetweenDoesNoHarm(t *testing.T) {
	for _, compacted := range []bool{false, true} {
		t.Run(fmt.Sprintf("compacted %v", compacted), func(t *testing.T) {
			p := newPair(t)
			disk := random(1, 26<<20)
			src := night(t, 24, disk)
			before := p.only(night(t, 23, random(7, 2<<20)))
			p.only(src)
			p.kill(8 << 20)
			if len(p.states()) > 0 || len(p.blobs()) == 0 {
				t.Fatalf("%d states, %d blobs after it was killed", len(p.states()), len(p.blobs()))
			}
			if all, _, err := p.mirror().List(t.Context()); err != nil || len(all) > 0 {
				t.Errorf("%d copies are seen, %v", len(all), err)
			}
			if compacted {
				l := p.local()
				if _, err := l.Remove(t.Context(), before); err != nil {
					t.Fatal(err)
				}
				if _, err := l.Maintain(t.Context()); err != nil {
					t.Fatal(err)
				}
				l.Close()
			}
			o := p.copyTo(src)
			if o.Err != nil || !compacted && (o.Resumed < 8<<20 || o.Copy.WriteBytes > 27<<20-o.Resumed) {
				t.Fatalf("%v: %d bytes were there already, %d were sent", o.Err, o.Resumed, o.Copy.WriteBytes)
			}
			p.same(o.Copy, src, disk)
			// Which packs were sent and then compacted away is up to their names: this one was.
			gone := filepath.Join(filepath.Dir(p.largest()), strings.Repeat("0", 64))
			for _, name := range []string{gone, gone + ".part"} {
				if err := os.WriteFile(name, make([]byte, 1000), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if freed, err := p.mirror().Maintain(t.Context()); err != nil || freed < 2000 {
				t.Errorf("%d bytes were given back, %v", freed, err)
			}
			p.tidy()
			p.same(o.Copy, src, disk)
		})
	}
}

// kill starts a victim and kills it after so many bytes of blobs.
func (p *pair) kill(after int64) {
	p.t.Helper()
	c := exec.CommandContext(p.t.Context(), os.Args[0], "-test.run=^TestVictim$", "-test.v")
	c.Env = append(os.Environ(), victim+"="+p.disk+" "+p.away+" "+p.recipient)
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var done int64
		if n, _ := fmt.Sscanf(lines.Text(), "sealed %d", &done); n == 1 && done > after {
			_ = c.Process.Kill() // it may have ended just before
		}
	}
	if err := c.Wait(); err == nil {
		p.t.Fatal("it ended before it was killed")
	}
}

// tidy holds that nothing lies on the mirror but what its newest state names.
func (p *pair) tidy() {
	p.t.Helper()
	states := p.states()
	if len(states) != 1 {
		p.t.Fatalf("%d states are there", len(states))
	}
	list, err := os.ReadFile(states[0])
	if err != nil {
		p.t.Fatal(err)
	}
	named := bytes.Count(list, []byte("  mirror/blobs/"))
	if blobs := p.blobs(); len(blobs) != named {
		p.t.Errorf("%d blobs are there, the state names %d", len(blobs), named)
	}
	if notes, _ := filepath.Glob(filepath.Join(p.away, "mirror/sums/*")); len(notes) > 0 {
		p.t.Errorf("%v are left", notes)
	}
	c := exec.CommandContext(p.t.Context(), "sha256sum", "--quiet", "-c", states[0])
	c.Dir = p.away
	if out, err := c.CombinedOutput(); err != nil {
		p.t.Errorf("sha256sum: %v: %s", err, out)
	}
}

// The connection breaks in the middle of a blob.
func TestAMirrorOverAConnectionThatBreaks(t *testing.T) {
	p := newPair(t)
	p.server = Serve(t, p.away)
	disk := random(1, 30<<20)
	src := night(t, 24, disk)
	p.only(src)
	p.server.Set(Faults{CutAfter: 24 << 20})
	o := p.copyTo(src)
	Refused(t, o.Err, target.CodeDown)
	if o = p.copyTo(src); o.Err != nil {
		t.Fatal(o.Err)
	}
	if o.Resumed < 8<<20 || o.Copy.WriteBytes > 31<<20-o.Resumed {
		t.Errorf("%d bytes were there, %d were sent", o.Resumed, o.Copy.WriteBytes)
	}
	p.same(o.Copy, src, disk)
	p.server.Set(Faults{FullAfter: 1 << 20})
	later := night(t, 25, random(9, 3<<20))
	p.only(later)
	o = p.copyTo(later)
	Refused(t, o.Err, target.CodeFull)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	p.server.Set(Faults{})
	if o := target.Copy(ctx, later, []*target.Target{p.mirror()})[0]; o.Err == nil {
		t.Error("it went on after it was cancelled")
	}
}
