package lab_test

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/lab"
)

func world(t *testing.T) (*lab.World, *pve) {
	t.Helper()
	w := open(t, filepath.Join(t.TempDir(), "world"))
	return w, api(t, w)
}

func inject(t *testing.T, w *lab.World, faults ...lab.Fault) {
	t.Helper()
	if err := w.Inject(faults...); err != nil {
		t.Fatal(err)
	}
}

func backup(id int) url.Values {
	return vals("vmid", fmt.Sprint(id), "storage", "backup", "compress", "zstd", "remove", "0")
}

// begun counts the vzdump tasks that the node knows.
func begun(p *pve) int {
	p.t.Helper()
	var list []map[string]any
	p.get("GET", "/nodes/pve1/tasks", vals("source", "all", "typefilter", "vzdump"), &list)
	return len(list)
}

func TestRequestFaults(t *testing.T) {
	const place = "POST /nodes/pve1/vzdump"
	cases := []struct {
		name, do, want string
		tasks          int
	}{
		{"a refusal before the work", "answer 403 Permission check failed (/vms/900, VM.Backup)",
			"403 Permission check failed (/vms/900, VM.Backup)", 0},
		{"an internal error", "answer 500 got timeout", "500 got timeout", 0},
		{"a login that is refused", "answer 401", "401 Authentication failed!", 0},
		{"an unreachable node, empty body", "answer 595", "595 Errors during connection establishment, proxy handshake: No route to host", 0},
		{"a proxy timeout after the work began", "answer-after 596", "596 Connection timed out", 1},
		{"an answer that is lost after the work began", "cut", "EOF", 1},
		{"a connection that is lost before the work", "cut-before", "EOF", 0},
		{"an OK without a task", "no-task", `"OK"`, 0},
		{"a slow answer", "slow 1ms", "200", 1},
		{"a guest that is elsewhere", "move pve2", `"OK"`, 0},
	}
	w, p := world(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before := begun(p)
			inject(t, w, lab.Fault{On: place, Do: c.do, Times: 1})
			r, err := p.try("POST", "/nodes/pve1/vzdump", backup(900))
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = fmt.Sprintf("%d %s %s", r.status, r.reason, r.body.Data)
				if (r.status == 401 || r.status > 590) && len(r.raw) > 0 {
					t.Errorf("body of %d: got %q, want none", r.status, r.raw)
				}
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q in it", got, c.want)
			}
			if n := begun(p) - before; n != c.tasks {
				t.Errorf("tasks: got %d, want %d", n, c.tasks)
			}
			if r := p.do("GET", "/version", nil); r.status != 200 {
				t.Errorf("the next request: got %d, want 200", r.status)
			}
		})
	}
}

func TestTaskFaults(t *testing.T) {
	cases := []struct {
		name, do, exit string
		line           string // in the log
		archives       int
	}{
		{"warnings", "warnings 2", "WARNINGS: 2", "TASK WARNINGS: 2", 1},
		{"a worker that dies at the end", "exit unexpected status", "unexpected status", "Backup job finished successfully", 1},
		{"job errors of the task alone", "exit job errors", "job errors", "TASK ERROR: job errors", 1},
		{"a guest that fails", "fail start failed: QEMU exited with code 1", "job errors",
			"ERROR: Backup of VM 900 failed - start failed: QEMU exited with code 1", 0},
		{"a full storage", "full", "job errors", "No space left on device", 0},
		{"a locked guest", "lock snapshot", "job errors", "ERROR: Backup of VM 900 failed - VM is locked (snapshot)", 0},
		{"an archive that vanishes", "remove", "OK", "TASK OK", 0},
		{"a slow backup", "slow 10ms", "OK", "INFO:  50% (", 1},
	}
	w, p := world(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before := len(archives(t, w))
			inject(t, w, lab.Fault{On: "vzdump 900", Do: c.do})
			upid, exit := p.task("POST", "/nodes/pve1/vzdump", backup(900))
			if exit != c.exit {
				t.Errorf("exit: got %q, want %q", exit, c.exit)
			}
			if log := strings.Join(p.log(upid), "\n"); !strings.Contains(log, c.line) {
				t.Errorf("log has no %q:\n%s", c.line, log)
			}
			if n := len(archives(t, w)) - before; n != c.archives {
				t.Errorf("new archives: got %d, want %d", n, c.archives)
			}
			g := guest(t, w, 900)
			if g.Lock != "" {
				t.Errorf("lock after the task: got %q, want none", g.Lock)
			}
		})
	}
}

func archives(t *testing.T, w *lab.World) []string {
	t.Helper()
	list, err := w.Archives("backup")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func guest(t *testing.T, w *lab.World, id int) lab.Guest {
	t.Helper()
	list, err := w.Guests()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range list {
		if g.ID == id {
			return g
		}
	}
	t.Fatalf("no guest %d", id)
	return lab.Guest{}
}

// The last four bytes are the checksum of the content; a flip just before them may
// leave the content as it was.
func TestSpoiltArchives(t *testing.T) {
	w, p := world(t)
	for _, do := range []string{"truncate", "truncate 100", "truncate -1", "flip", "flip -2"} {
		for _, id := range []int{900, 103} {
			t.Run(fmt.Sprintf("%s, guest %d", do, id), func(t *testing.T) {
				inject(t, w, lab.Fault{On: "vzdump *", Do: do})
				if _, exit := p.task("POST", "/nodes/pve1/vzdump", backup(id)); exit != "OK" {
					t.Fatalf("vzdump: got %q, want OK", exit)
				}
				inject(t, w)
				path, form := "/nodes/pve1/qemu", vals("vmid", "9000", "archive", volid(t, p, id), "storage", "local")
				if id == 103 {
					path, form = "/nodes/pve1/lxc", vals("vmid", "9000", "ostemplate", volid(t, p, id), "storage", "local", "restore", "1", "rootfs",
						"local:1")
				}
				upid, exit := p.task("POST", path, form)
				if exit == "OK" {
					t.Errorf("restore of a spoilt archive: got OK\n%s", strings.Join(p.log(upid), "\n"))
				}
				left := false
				list, err := w.Guests()
				if err != nil {
					t.Fatal(err)
				}
				for _, g := range list {
					left = left || g.ID == 9000
				}
				if want := id == 900; left != want {
					t.Errorf("configuration left behind: got %v, want %v", left, want)
				}
				if left {
					if err := w.RemoveGuest(9000); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

func TestLocks(t *testing.T) {
	w, p := world(t)
	inject(t, w, lab.Fault{On: "POST /nodes/pve1/vzdump", Do: "lock migrate", Times: 1})
	upid, exit := p.task("POST", "/nodes/pve1/vzdump", backup(101))
	if log := strings.Join(p.log(upid), "\n"); exit != "job errors" || !strings.Contains(log, "CT is locked (migrate)") {
		t.Errorf("locked for good: got %q\n%s", exit, log)
	}
	if g := guest(t, w, 101); g.Lock != "migrate" {
		t.Errorf("lock: got %q, want migrate: vzdump must not remove a lock that is not its own", g.Lock)
	}
	inject(t, w, lab.Fault{On: "POST /nodes/pve1/vzdump", Do: "lock rollback 1h", Times: 1})
	if _, exit := p.task("POST", "/nodes/pve1/vzdump", backup(102)); exit != "job errors" {
		t.Errorf("locked for a time: got %q, want job errors", exit)
	}
}

func TestStorageFaults(t *testing.T) {
	cases := []struct{ do, exit string }{
		{"disabled", "could not activate storage 'backup': storage 'backup' is disabled"},
		{"unmounted", "could not activate storage 'backup': unable to activate storage 'backup' - directory is expected to be a mount point " +
			"but is not mounted: '/srv/backup'"},
		{"full", "job errors"},
	}
	w, p := world(t)
	for _, c := range cases {
		t.Run(c.do, func(t *testing.T) {
			inject(t, w, lab.Fault{On: "storage backup", Do: c.do})
			if _, exit := p.task("POST", "/nodes/pve1/vzdump", backup(900)); exit != c.exit {
				t.Errorf("got %q, want %q", exit, c.exit)
			}
			var list []struct {
				Storage         string
				Active, Enabled int
			}
			p.get("GET", "/nodes/pve1/storage", nil, &list)
			for _, s := range list {
				want := s.Storage != "backup" || c.do == "full"
				if (s.Active == 1) != want {
					t.Errorf("storage %s: active %d, want %v", s.Storage, s.Active, want)
				}
			}
		})
	}
}

func TestAgentAndTLSFaults(t *testing.T) {
	w, p := world(t)
	if r := p.do("POST", "/nodes/pve1/qemu/100/agent/ping", nil); r.status != 200 {
		t.Errorf("ping: got %d %s, want 200", r.status, r.reason)
	}
	inject(t, w, lab.Fault{On: "agent 100", Do: "down", Times: 1}, lab.Fault{On: "tls pve1.lab", Do: "new-cert", Times: 1})
	if r := p.do("POST", "/nodes/pve1/qemu/100/agent/ping", nil); r.reason != "QEMU guest agent is not running" {
		t.Errorf("ping of a dead agent: got %d %s", r.status, r.reason)
	}
	seen := map[string]bool{}
	for range 2 {
		seen[fingerprint(t, w)] = true
	}
	if !seen[lab.Fingerprint()] || len(seen) != 2 {
		t.Errorf("certificates seen: got %v, want the usual one and another", seen)
	}
}

func TestFaultsSkipAndLast(t *testing.T) {
	w, p := world(t)
	inject(t, w, lab.Fault{On: "GET /version", Do: "answer 500 no", Skip: 1, Times: 2})
	var got []int
	for range 5 {
		got = append(got, p.do("GET", "/version", nil).status)
	}
	if fmt.Sprint(got) != "[200 500 500 200 200]" {
		t.Errorf("statuses: got %v, want one good, two bad, then good", got)
	}
}

func TestFaultFileIsReadAnew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "world")
	w := open(t, dir)
	p := api(t, w)
	if got := p.do("GET", "/version", nil).status; got != 200 {
		t.Fatalf("got %d, want 200", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "faults.json"), []byte(`[{"on": "GET /v*", "do": "answer 503"}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := p.do("GET", "/version", nil).status; got != 503 {
		t.Errorf("after the file was written: got %d, want 503", got)
	}
}

func TestHangEndsWithTheClient(t *testing.T) {
	w, p := world(t)
	inject(t, w, lab.Fault{On: "GET /version", Do: "hang"})
	p.client.Timeout = 50e6
	if _, err := p.try("GET", "/version", nil); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("got %v, want a timeout", err)
	}
}
