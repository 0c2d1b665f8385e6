package real

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const logsPolicy = `
def main():
    for a in ship_logs(source = "here"):
        verify(copies = copy(artifact = a), level = "opened")
`

const logsSite = `
host(name = "here", local = True, rear = False, firewall = False)
asset(name = "system_logs", on = {"disk": "opened"})
accept_gap(item = "here", reason = "the test makes them", until = "2099-01-01")
`

// journald runs systemd's own daemon in a mount namespace of its own, with a /run and
// a machine id of its own, and calls the steps of a script with it.
const journald = `set -eu
mount -t tmpfs tmpfs /run
mkdir -p /run/log/journal /run/systemd/journal
echo 0123456789abcdef0123456789abcdef > /run/machine-id
touch /etc/machine-id
mount --bind /run/machine-id /etc/machine-id
/lib/systemd/systemd-journald &
daemon=$!
trap 'kill $daemon; wait $daemon || true' EXIT
while ! [ -S /run/systemd/journal/socket ] || ! [ -S /run/systemd/journal/stdout ]; do :; done
say() { for n in $(seq $1 $2); do echo "message $n" | systemd-cat -t test; done; while ! journalctl -q -t test -o cat 2>/dev/null | grep -qx "message $2"; do :; done; }
say 1 200
"$@"
say 201 300
printf 'MESSAGE=two\nlines\n' | true
"$@"
journalctl -q -t test -o cat > "$OUT/before"
journalctl -q --rotate 2>/dev/null || kill -USR2 $daemon
say 301 310
journalctl -q --rotate 2>/dev/null || kill -USR2 $daemon
journalctl -q --vacuum-files=1 2>/dev/null || true
say 311 320
"$@"
journalctl -q -t test -o cat > "$OUT/after"
`

func TestATrueJournalComesBack(t *testing.T) {
	d := newDesk(t, logsPolicy, logsSite+`logs(name = "here", host = "here", journal = True)`, "unshare", "journalctl", "systemd-cat")
	remote := "/lib/systemd/systemd-journal-remote"
	if _, err := os.Stat(remote); err != nil {
		t.Fatal("systemd-journal-remote is missing: apt-get install systemd-journal-remote")
	}
	script := d.path("journald.sh")
	if err := os.WriteFile(script, []byte(journald), 0o700); err != nil {
		t.Fatal(err)
	}
	// Exit 3 is right for the run behind the vacuum: its gap is accepted, what is
	// left of it may not be.
	c := exec.CommandContext(t.Context(), "unshare", append([]string{"-m", "bash", script}, d.args("exec", d.path("policy.star"))...)...)
	c.Env = append(os.Environ(), "OUT="+d.dir)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out := d.runner(0, "recover", "--from", d.path("media"), "--to", d.path("back"))
	if !strings.Contains(out, "the chain is whole") {
		t.Errorf("recover:\n%s", out)
	}
	found, err := filepath.Glob(d.path("back/*/restored.journal"))
	if err != nil || len(found) != 1 {
		t.Fatalf("got %v, %v\n%s", found, err, out)
	}
	restored := strings.Split(strings.TrimSpace(tool(t, "journalctl", "-q", "--file", found[0], "-t", "test", "-o", "cat")), "\n")
	seen := map[string]int{}
	for _, l := range restored {
		seen[l]++
	}
	for n := 1; n <= 320; n++ {
		if c := seen[fmt.Sprintf("message %d", n)]; c > 1 || c == 0 && (n <= 300 || n > 310) {
			t.Errorf("message %d is there %d times", n, c)
		}
	}
	tool(t, "journalctl", "--file", found[0], "--verify")
	before, err := os.ReadFile(d.path("before"))
	if err != nil || len(bytes.Split(bytes.TrimSpace(before), []byte("\n"))) != 300 {
		t.Errorf("the test itself is wrong: %v", err)
	}
}

// writer appends numbered lines to a log, as a service does that is told to open it
// anew after each rotation.
type writer struct {
	mu   sync.Mutex
	path string
	n    int
	f    *os.File
}

// open opens the log, anew where it is open: nobody writes meanwhile.
func (w *writer) open() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reopen()
}

func (w *writer) reopen() error {
	if w.f != nil {
		w.f.Close()
	}
	var err error
	w.f, err = os.OpenFile(w.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	return err
}

func (w *writer) line() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
	_, err := fmt.Fprintf(w.f, "line %07d of a service that never stops writing\n", w.n)
	return err
}

// hours is logrotate of an hour after the other.
func hours(t *testing.T, state, conf string, n int) error {
	t.Helper()
	at := fmt.Sprintf("2026-11-28 %02d:00:00", 4+n)
	c := exec.CommandContext(t.Context(), "faketime", at, "logrotate", "-f", "-s", state, conf)
	c.Env = append(os.Environ(), "NO_FAKE_STAT=1") // files have their true times
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("logrotate at %s: %w\n%s", at, err, out)
	}
	return nil
}

func TestLogrotateUnderLoadLosesNothing(t *testing.T) {
	// Without delaycompress, and with copytruncate, logrotate itself loses what is
	// written while it works: there the service pauses.
	for name, c := range map[string]struct {
		mode   string
		pauses bool
	}{
		"create": {"create", false}, "create, packed later": {"create\ncompress\ndelaycompress", false},
		"create, packed at once": {"create\ncompress", true}, "copytruncate": {"copytruncate", true},
		"copytruncate, packed":              {"copytruncate\ncompress", true},
		"hourly, dateext, five are kept":    {"su root root\nhourly\nrotate 5\ndateext\ncreate\nnocompress", false},
		"hourly, dateext, packed later":     {"hourly\ndateext\ncreate\ncompress\ndelaycompress", false},
		"hourly, dateext, copytruncate":     {"hourly\ndateext\ncopytruncate\ncompress\ndelaycompress", true},
		"hourly, dateext before the ending": {"hourly\ndateext\nextension .log\ncreate", false},
		"numbered before the ending, xz":    {"extension .log\ncreate\ncompress\ncompresscmd /usr/bin/xz\ncompressext .xz", true},
		"a date with dashes, zstd": {"dateext\ndateformat .%Y-%m-%d-%H\ncopytruncate\ncompress\ncompresscmd " +
			"/usr/bin/zstd\ncompressext .zst\ncompressoptions -q", true},
		"a name that no rule knows":         {"dateext\ndateformat .kept%H\ncreate", false},
		"a name that no rule knows, packed": {"dateext\ndateformat .kept%H\ncopytruncate\ncompress\ndelaycompress", true},
		"copytruncate, three are kept":      {"copytruncate\nrotate 3", true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			d := newDesk(t, logsPolicy, logsSite+fmt.Sprintf("logs(name = \"here\", host = \"here\", files = [%q])", dir+"/app.log"), "logrotate",
				"gzip", "xz", "zstd", "faketime")
			w := &writer{path: filepath.Join(dir, "app.log")}
			if err := w.open(); err != nil {
				t.Fatal(err)
			}
			conf := filepath.Join(d.dir, "logrotate.conf")
			if err := os.WriteFile(conf, []byte(fmt.Sprintf("rotate 50\n%s/app.log {\nsize 1\n%s\n}\n", dir, c.mode)), 0o644); err != nil {
				t.Fatal(err)
			}
			for n := range 6 {
				var wg sync.WaitGroup
				wg.Go(func() {
					for range 4000 {
						if err := w.line(); err != nil {
							t.Error(err)
							return
						}
					}
				})
				rotated := make(chan error, 1)
				rotate := func() {
					w.mu.Lock()
					if !c.pauses { // before postrotate the old file is written, packed or not
						w.mu.Unlock()
					}
					err := hours(t, filepath.Join(d.dir, "status"), conf, n)
					if !c.pauses {
						w.mu.Lock()
					}
					rotated <- cmp.Or(err, w.reopen())
					w.mu.Unlock()
				}
				if n%2 == 1 { // at the same time, and one after the other
					go rotate()
					d.runner(0, "exec", d.path("policy.star"))
				} else {
					d.runner(0, "exec", d.path("policy.star"))
					rotate()
				}
				if err := <-rotated; err != nil {
					t.Fatal(err)
				}
				wg.Wait()
			}
			d.runner(0, "exec", d.path("policy.star"))
			d.runner(0, "recover", "--from", d.path("media"), "--to", d.path("back"))
			found, err := filepath.Glob(d.path("back/*/files") + w.path)
			if err != nil || len(found) != 1 {
				t.Fatalf("got %v, %v", found, err)
			}
			raw, err := os.ReadFile(found[0])
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
			for i, l := range lines {
				if !strings.HasPrefix(l, fmt.Sprintf("line %07d ", i+1)) {
					t.Fatalf("line %d is %q", i+1, l)
				}
			}
			if len(lines) != w.n {
				t.Errorf("got %d lines, want %d", len(lines), w.n)
			}
		})
	}
}
