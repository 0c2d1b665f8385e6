package lab_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/lab"
)

// frozen never lets a wait end, free lets every wait end at once.
func frozen(ctx context.Context, _ time.Duration) error { <-ctx.Done(); return ctx.Err() }
func free(ctx context.Context, _ time.Duration) error   { return ctx.Err() }

func TestReopenGoesOn(t *testing.T) {
	cases := []struct {
		name, fault string
		start       func(p *pve) string
		until       string // line of the log at which the process dies
		check       func(t *testing.T, w *lab.World, p *pve)
	}{
		{"a VM's backup", "vzdump 100", func(p *pve) string { return p.begin("POST", "/nodes/pve1/vzdump", backup(100)) }, "started backup task",
			func(t *testing.T, w *lab.World, p *pve) {
				restoreVM(t, w, p, 100)
			}},
		{"a container's backup", "vzdump 101", func(p *pve) string { return p.begin("POST", "/nodes/pve1/vzdump", backup(101)) },
			"starting first sync", func(t *testing.T, w *lab.World, p *pve) {
				if n := len(archives(t, w)); n != 1 {
					t.Errorf("archives: got %d, want 1", n)
				}
			}},
		{"the second guest of a job", "vzdump 101", func(p *pve) string {
			v := backup(0)
			v.Set("vmid", "900,101")
			return p.begin("POST", "/nodes/pve1/vzdump", v)
		}, "starting first sync", func(t *testing.T, w *lab.World, p *pve) {
			if n := len(archives(t, w)); n != 2 {
				t.Errorf("archives: got %d, want 2", n)
			}
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "world")
			w := open(t, dir, lab.WithClock(time.Now, frozen))
			p := api(t, w)
			inject(t, w, lab.Fault{On: c.fault, Do: "slow 1h", Times: 1})
			upid := c.start(p)
			before := p.until(upid, c.until)
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			w = open(t, dir, lab.WithClock(time.Now, free))
			p = api(t, w)
			exit, err := w.WaitTask(t.Context(), upid)
			if err != nil || exit != "OK" {
				t.Fatalf("after reopening: got %q, %v, want OK\n%s", exit, err, strings.Join(p.log(upid), "\n"))
			}
			after := p.log(upid)
			if len(after) < len(before) || strings.Join(after[:len(before)], "\n") != strings.Join(before, "\n") {
				t.Errorf("the log was not continued:\n%s", strings.Join(after, "\n"))
			}
			for _, line := range []string{"Starting Backup of VM", "creating vzdump archive"} {
				if n, want := strings.Count(strings.Join(after, "\n"), line),
					strings.Count(strings.Join(after, "\n"), "Finished Backup of VM"); n != want {
					t.Errorf("%q: got %d times, want %d", line, n, want)
				}
			}
			if got := unfinished(t, dir); len(got) != 0 {
				t.Errorf("half-made archives: got %v, want none", got)
			}
			c.check(t, w, p)
		})
	}
}

func unfinished(t *testing.T, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "pve/nodes/pve1/srv/backup/dump/*.dat"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// begin starts work and does not wait.
func (p *pve) begin(method, path string, form map[string][]string) (upid string) {
	p.t.Helper()
	p.get(method, path, form, &upid)
	return upid
}

// until waits for a line of a task's log and returns the log so far.
func (p *pve) until(upid, text string) []string {
	p.t.Helper()
	for p.t.Context().Err() == nil {
		if lines := p.log(upid); strings.Contains(strings.Join(lines, "\n"), text) {
			return lines
		}
	}
	p.t.Fatal("the test ended before the line came: " + text)
	return nil
}

func restoreVM(t *testing.T, w *lab.World, p *pve, id int) {
	t.Helper()
	if _, exit := p.task("POST", "/nodes/pve1/qemu", vals("vmid", "9100", "archive", volid(t, p, id), "storage", "local")); exit != "OK" {
		t.Fatal(exit)
	}
	if !bytes.Equal(disk(t, w, id, "scsi0"), disk(t, w, 9100, "scsi0")) {
		t.Error("the restored disk differs")
	}
}

func TestRestoreGoesOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "world")
	w := open(t, dir, lab.WithClock(time.Now, frozen))
	p := api(t, w)
	for _, id := range []int{100, 101} {
		if _, exit := p.task("POST", "/nodes/pve1/vzdump", backup(id)); exit != "OK" {
			t.Fatal(exit)
		}
	}
	inject(t, w, lab.Fault{On: "*restore *", Do: "slow 1h", Times: 1})
	vm := p.begin("POST", "/nodes/pve1/qemu", vals("vmid", "9100", "archive", volid(t, p, 100), "storage", "local"))
	inject(t, w, lab.Fault{On: "*restore *", Do: "slow 1h", Times: 1})
	ct := p.begin("POST", "/nodes/pve1/lxc", vals("vmid", "9101", "ostemplate", volid(t, p, 101), "restore", "1", "storage", "local"))
	p.until(vm, "map 'drive-scsi0'")
	p.until(ct, "extracting archive")
	if g := guest(t, w, 9100); g.Lock != "create" {
		t.Errorf("lock during a restore: got %q, want create", g.Lock)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w = open(t, dir, lab.WithClock(time.Now, free))
	for _, upid := range []string{vm, ct} {
		if exit, err := w.WaitTask(t.Context(), upid); err != nil || exit != "OK" {
			t.Fatalf("after reopening: got %q, %v, want OK", exit, err)
		}
	}
	if !bytes.Equal(disk(t, w, 100, "scsi0"), disk(t, w, 9100, "scsi0")) {
		t.Error("the restored disk differs")
	}
	for id, want := range map[int]int{9100: 2, 9101: 1} {
		files, err := filepath.Glob(filepath.Join(dir, fmt.Sprintf("pve/nodes/pve1/var/lib/vz/images/%d/*", id)))
		if err != nil || len(files) != want {
			t.Errorf("disks of %d: got %v, %v, want %d", id, files, err, want)
		}
	}
}

// TestChild is not a test: it is the process that TestKilled kills.
func TestChild(t *testing.T) {
	dir := os.Getenv("LAB_CHILD")
	if dir == "" {
		t.Skip("runs as a child of TestKilled only")
	}
	w, err := lab.Open(t.Context(), dir, lab.WithClock(time.Now, frozen))
	if err != nil {
		t.Fatal(err)
	}
	p := api(t, w)
	inject(t, w, lab.Fault{On: "vzdump 100", Do: "slow 1h", Times: 1})
	upid := p.begin("POST", "/nodes/pve1/vzdump", backup(100))
	p.until(upid, "started backup task")
	fmt.Println(upid)
	<-t.Context().Done()
}

func TestKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "world")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$", "-test.v")
	cmd.Env = append(os.Environ(), "LAB_CHILD="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	upid := ""
	buf := make([]byte, 4096)
	for seen := ""; upid == ""; {
		n, err := out.Read(buf)
		seen += string(buf[:n])
		if i := strings.Index(seen, "UPID:"); i >= 0 && strings.Contains(seen[i:], "\n") {
			upid, _, _ = strings.Cut(seen[i:], "\n")
		} else if err != nil {
			t.Fatalf("the child ended: %v\n%s", err, seen)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
	w := open(t, dir, lab.WithClock(time.Now, free))
	if exit, err := w.WaitTask(t.Context(), upid); err != nil || exit != "OK" {
		t.Fatalf("after kill -9: got %q, %v, want OK", exit, err)
	}
	restoreVM(t, w, api(t, w), 100)
}
