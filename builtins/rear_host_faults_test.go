package builtins

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/builtins/lab/host"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

// Nothing of these ends with ok.
func TestRearHostFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, on, do, args, code, want string }{
		{"rear is missing", rearOn, "missing", ``, "E_REAR_MISSING", "apt install rear"},
		{"too old", rearOn, "old", ``, "E_REAR_OLD", "2.4"},
		{"another one runs", rearOn, "busy", ``, "E_REAR_BUSY", "4711"},
		{"killed", rearOn, "dies", ``, "E_REAR_KILLED", "killed"},
		{"a question", rearOn, "asks", ``, "E_REAR_ASKED", "Proceed regardless"},
		{"out of space", rearOn, "space", ``, "E_REAR_SPACE", "no space left"},
		{"an error of its own", rearOn, "error Cannot autodetect what is used as bootloader", ``, "E_REAR_FAILED", "Cannot autodetect"},
		{"no modules in the image", rearOn, "no-modules", ``, "E_REAR_IMAGE", "no kernel modules"},
		{"no udev in the image", rearOn, "no-udev", ``, "E_REAR_IMAGE", "no udev"},
		{"a cut archive", rearOn, "cut", ``, "E_REAR_IMAGE", "it is cut"},
		{"an image that starts by itself", rearOn, "alone", ``, "E_REAR_IMAGE", "starts a recovery by itself"},
		{"a secret in the image", rearOn, "leaks /var/lib/runner/keyring/pve-token", ``, "E_REAR_IMAGE", "which is secret"},
		{"exclusions that are not obeyed", rearOn, "forgets", ``, "E_LAYOUT_HOLDS_COPIES", "target node"},
		{"the stick is absent", "disks pve1.lab", "without sdd", onStick, "E_USB_ABSENT", "no disk has that serial"},
		{"another stick", "", "", strings.Replace(onStick, host.StickUUID, "7a5e0c1e-0009-4a00-8000-000000000009", 1), "E_USB_WRONG",
			"no file system on it"},
		{"a full stick", rearOn, "space", onStick, "E_USB_FULL", "is full"},
		{"a stick that is pulled out", rearOn, "pulled", onStick, "E_USB_PULLED", "pulled out meanwhile"},
		{"a stick in clear", "", "", strings.Replace(onStick, `, key = "pve-token"`, "", 1), "E_REAR_CLEAR", "not encrypted"},
		{"the host is down", "ssh pve1.lab", "refuse", ``, "E_HOST_DOWN", "is the host up"},
		{"another host key", "ssh pve1.lab", "new-hostkey", ``, "E_HOST_KEY", "host key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if c.on != "" {
				b.inject(lab.Fault{On: c.on, Do: c.do})
			}
			wantCode(t, b.run(`rear_host(host = "pve1"`+comma(c.args)+`)`), c.code, c.want)
			if len(b.rears()) != 0 {
				t.Error("an artifact was recorded")
			}
		})
	}
}

func TestRearHostSaysWhatIsLess(t *testing.T) {
	t.Parallel()
	for do, want := range map[string]string{"warns": "may cause 'rear recover' failure", "asks-on": "went on with its default"} {
		t.Run(do, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.inject(lab.Fault{On: rearOn, Do: do})
			out := b.run(`rear_host(host = "pve1")`)
			if out.Result != ledger.DegradedRun {
				t.Errorf("got %s, %v", out.Result, out.Err)
			}
			wantFinding(t, out, ledger.DegradedRun, want)
		})
	}
}

func TestRearHostTriesAgainWhenAnotherOneRan(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.inject(lab.Fault{On: rearOn, Do: "busy", Skip: 1, Times: 1})
	b.good(`rear_host(host = "pve1")`)
}

func TestRearHostStopsWhenItIsToldTo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.inject(lab.Fault{On: rearOn, Do: "hang", Skip: 1})
	cfg := b.config(main(`rear_host(host = "pve1")`))
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	go func() {
		for {
			raw, err := os.ReadFile(filepath.Join(b.dir, "world", "faults.json.met"))
			if err == nil && strings.Contains(string(raw), ":2") {
				stop(runtime.ErrInterrupted)
				return
			}
			if (runtime.RealClock{}).Sleep(ctx, time.Millisecond) != nil {
				return
			}
		}
	}()
	out, err := runtime.Exec(ctx, cfg)
	if err != nil || out.Result != ledger.Interrupted {
		t.Errorf("got %v, %+v", err, out)
	}
}

// A copy that failed does not cost the host a second image, while the first is there.
func TestARetryUsesTheImageThatIsThere(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string]bool{"it is there": false, "it is gone": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			policy := main(`copy(artifact = rear_host(host = "pve1"), to = ["offsite"])`)
			b.inject(lab.Fault{On: "sftp offsite.lab put", Do: "deny"})
			cfg := b.config(policy)
			if out, err := runtime.Exec(t.Context(), cfg); err != nil || out.Result != ledger.Failed {
				t.Fatalf("got %v, %+v", err, out)
			}
			b.inject()
			if gone {
				if err := os.RemoveAll(b.onNode(b.rears()[0].Origin.Dir)); err != nil {
					t.Fatal(err)
				}
			}
			if out := b.retry(policy, cfg.Header.ID); out.Err != nil {
				t.Fatal(out.Err)
			}
			want := 1
			if gone {
				want = 2
			}
			if got := len(b.rears()); got != want || len(b.copies("offsite")) != 1 {
				t.Errorf("got %d images, %d copies; want %d and one", got, len(b.copies("offsite")), want)
			}
		})
	}
}

// A run that is killed while rear works begins the image anew.
func TestAKilledRunMakesItsImageAnew(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	policy := main(`rear_host(host = "pve1")`)
	id := b.dies(policy, ending)
	if out := b.resume(policy, id); out.Err != nil || out.Result != ledger.OK {
		t.Fatalf("got %+v", out)
	}
	if got := len(b.rears()); got != 1 {
		t.Errorf("got %d images, want one", got)
	}
}
