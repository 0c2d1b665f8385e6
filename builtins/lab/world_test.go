package lab_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime/ledger"
)

// digests reads a tree: path -> mode, time, link or content.
func digests(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		line := info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			st, ok := info.Sys().(*syscall.Stat_t)
			line += fmt.Sprintf(" %x %v links %d", sha256.Sum256(data), info.ModTime().Unix(), st.Nlink)
			if ok && info.Size() > 1<<20 {
				line += fmt.Sprintf(" holes %v", st.Blocks*512 < info.Size()/2)
			}
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(p)
			if err != nil {
				return err
			}
			line += " -> " + to
		default:
			line += fmt.Sprint(" ", info.ModTime().Unix())
		}
		out[rel] = line
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestContainerComesBack(t *testing.T) {
	w, p := world(t)
	if _, exit := p.task("POST", "/nodes/pve1/vzdump", backup(101)); exit != "OK" {
		t.Fatal(exit)
	}
	if _, exit := p.task("POST", "/nodes/pve1/lxc", vals("vmid", "9101", "ostemplate", volid(t, p, 101), "restore", "1", "storage", "local",
		"net0", "name=eth0,bridge=vmbr0,link_down=1", "hostname", "drill", "onboot", "0")); exit != "OK" {
		t.Fatal(exit)
	}
	from, err := w.Disk(101, "rootfs")
	if err != nil {
		t.Fatal(err)
	}
	to, err := w.Disk(9101, "rootfs")
	if err != nil {
		t.Fatal(err)
	}
	want, got := digests(t, from), digests(t, to)
	for _, gone := range []string{"tmp/leftover", "var/run/postfix.pid"} { // vzdump's standard excludes
		delete(want, gone)
	}
	if _, stays := got["etc/vzdump"]; !stays {
		t.Error("the folder of vzdump's own files did not come back from an archive of suspend mode")
	}
	delete(got, "etc/vzdump")
	for name, w := range want {
		if got[name] != w {
			t.Errorf("%s: got %q, want %q", name, got[name], w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("entries: got %d, want %d", len(got), len(want))
	}
	a, err := os.ReadFile(from + ".owners.json")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(to + ".owners.json")
	b = regexp.MustCompile(`\s*"etc/vzdump": \[\s*65534,\s*65534\s*\],`).ReplaceAll(b, nil)
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("owners: got %s, %v, want %s", b, err, a)
	}
	g := guest(t, w, 9101)
	if g.Name != "drill" || g.Running || !strings.Contains(g.Config["net0"], "link_down=1") || !strings.Contains(g.Config["net0"], "hwaddr=") {
		t.Errorf("restored guest: got %+v, want the overrides", g)
	}
}

func TestUniqueTakesTheCardsOfTheArchive(t *testing.T) {
	w, p := world(t)
	for _, id := range []int{900, 101} {
		if _, exit := p.task("POST", "/nodes/pve1/vzdump", backup(id)); exit != "OK" {
			t.Fatal(exit)
		}
	}
	if _, exit := p.task("POST", "/nodes/pve1/lxc", vals("vmid", "9101", "ostemplate", volid(t, p, 101), "restore", "1", "storage", "local",
		"unique", "1", "net0", "name=eth0,bridge=vmbr0,link_down=1")); exit != "OK" {
		t.Fatal(exit)
	}
	net := guest(t, w, 9101).Config["net0"]
	if strings.Contains(net, "link_down") || strings.Contains(net, "BC:24:11:10:01:01") {
		t.Errorf("container with unique: got %q, want the archive's card with a new address and without link_down", net)
	}
	if _, exit := p.task("POST", "/nodes/pve1/qemu", vals("vmid", "9900", "archive", volid(t, p, 900), "storage", "local",
		"unique", "1", "net0", "virtio,bridge=vmbr0,link_down=1")); exit != "OK" {
		t.Fatal(exit)
	}
	g := guest(t, w, 9900)
	if !strings.Contains(g.Config["net0"], "link_down=1") || g.Config["vmgenid"] == guest(t, w, 900).Config["vmgenid"] {
		t.Errorf("VM with unique: got %v, want the given card and a new vmgenid", g.Config)
	}
	upid, exit := p.task("POST", "/nodes/pve1/vzdump", backup(103))
	if log := strings.Join(p.log(upid), "\n"); exit != "OK" ||
		!strings.Contains(log, "excluding bind mount point mp0 ('/mnt/shared') from backup") {
		t.Errorf("bind mount: got %q\n%s", exit, log)
	}
	_, exit = p.task("POST", "/nodes/pve1/lxc", vals("vmid", "9103", "ostemplate", volid(t, p, 103), "restore", "1", "storage", "local"))
	if want := "unable to restore CT 9103 - restoring 'mp0' to bind mount is only possible for root"; exit != want {
		t.Errorf("restore of a bind mount by a token: got %q, want %q", exit, want)
	}
}

func TestExcludedDisk(t *testing.T) {
	w, p := world(t)
	upid, exit := p.task("POST", "/nodes/pve1/vzdump", backup(102))
	if log := strings.Join(p.log(upid), "\n"); exit != "OK" ||
		!strings.Contains(log, "exclude disk 'scsi1' 'local:102/vm-102-disk-1.raw' (backup=no)") {
		t.Errorf("got %q\n%s", exit, log)
	}
	var text string
	p.get("GET", "/nodes/pve1/vzdump/extractconfig", vals("volume", volid(t, p, 102)), &text)
	if !strings.HasSuffix(text, "#qmdump#map:virtio0:drive-virtio0:local:raw:\n") || strings.Count(text, "#qmdump#") != 1 {
		t.Errorf("archive's configuration: got %q, want one map line at its end", text)
	}
	if _, exit := p.task("POST", "/nodes/pve1/qemu", vals("vmid", "9102", "archive", volid(t, p, 102), "storage", "local")); exit != "OK" {
		t.Fatal(exit)
	}
	g := guest(t, w, 9102)
	if _, has := g.Config["scsi1"]; has || !bytes.Equal(disk(t, w, 102, "virtio0"), disk(t, w, 9102, "virtio0")) {
		t.Errorf("restored guest: got %v, want virtio0 and no scsi1", g.Config)
	}
}

func TestSecondOpenerUsesTheFirst(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "world")
	first := open(t, dir)
	second := open(t, dir)
	early, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := second.Dial(early, "tcp", lab.ProxmoxAddr); err == nil {
		t.Error("dial before the first one serves: got a connection")
	}
	if _, err := second.Serve(t.Context()); err == nil {
		t.Error("serve by the second one: got no error")
	}
	addrs, err := first.Serve(t.Context())
	if err != nil || len(addrs) != 8 {
		t.Fatalf("serve: got %v, %v, want eight addresses", addrs, err)
	}
	p := api(t, second)
	p.get("GET", "/version", nil, nil)
	offsite(t, second)
	inject(t, second, lab.Fault{On: "GET /version", Do: "answer 500 x"})
	if r := p.do("GET", "/version", nil); r.status != 500 {
		t.Errorf("a fault of the second opener: got %d, want 500", r.status)
	}
	if err := second.SetGuest(900, func(g *lab.Guest) { g.Lock = "backup" }); err != nil {
		t.Fatal(err)
	}
	if g := guest(t, first, 900); g.Lock != "backup" {
		t.Errorf("a change by the second opener: got lock %q, want backup", g.Lock)
	}
}

// When the process that holds the world ends, another one that needs it goes on in its
// place: whether it had served or not, whether it was asked to end or killed.
func TestAnotherProcessTakesTheWorldOver(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "world")
	first, second, third := open(t, dir), open(t, dir), open(t, dir)
	if err := first.Close(); err != nil { // it never served
		t.Fatal(err)
	}
	api(t, second).get("GET", "/version", nil, nil)
	api(t, third).get("GET", "/version", nil, nil) // by the second one's servers

	// One that serves goes on while another is at work, and ends with it.
	ended := make(chan error)
	go func() { ended <- second.Close() }()
	for range 20 {
		api(t, third).get("GET", "/version", nil, nil)
	}
	if err := third.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}

	// One that was killed leaves its file behind.
	fourth := open(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "serving.json"), []byte(`{"pid": 1, "servers": {"pve1.lab:8006": "127.0.0.1:1"}}`),
		0o600); err != nil {
		t.Fatal(err)
	}
	fifth := open(t, dir)
	if err := fourth.Close(); err != nil {
		t.Fatal(err)
	}
	api(t, fifth).get("GET", "/version", nil, nil)
}

func TestWorldsAreEqual(t *testing.T) {
	a, b := open(t, filepath.Join(t.TempDir(), "a")), open(t, filepath.Join(t.TempDir(), "b"))
	for _, d := range []struct {
		id  int
		key string
	}{{100, "scsi0"}, {100, "efidisk0"}, {102, "virtio0"}, {900, "scsi0"}} {
		x, y := disk(t, a, d.id, d.key), disk(t, b, d.id, d.key)
		if !bytes.Equal(x, y) {
			t.Errorf("disk %s of %d differs between two worlds", d.key, d.id)
		}
	}
	if n := len(disk(t, a, 100, "efidisk0")); n != 540672 {
		t.Errorf("efidisk0: got %d bytes, want 540672", n)
	}
	c := open(t, filepath.Join(t.TempDir(), "c"), lab.WithSeed(2))
	if bytes.Equal(disk(t, a, 900, "scsi0"), disk(t, c, 900, "scsi0")) {
		t.Error("another seed gives the same disk")
	}
	if fingerprint(t, a) != lab.Fingerprint() || fingerprint(t, b) != lab.Fingerprint() {
		t.Error("the certificate is not the one of Fingerprint")
	}
}

func TestForeignFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "photo.jpg"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := lab.Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "photo.jpg") {
		t.Errorf("got %v, want a refusal that names photo.jpg", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "photo.jpg")); err != nil {
		t.Error(err)
	}
}

func TestDevices(t *testing.T) {
	w := open(t, filepath.Join(t.TempDir(), "world"))
	id := func(path string) string {
		t.Helper()
		d, err := w.Device(path)
		if err != nil {
			t.Fatal(err)
		}
		return d.ID
	}
	if err := w.Attach("offline-b"); err != nil { // it is with its keeper
		t.Fatal(err)
	}
	if id("/media/offline-a/x") == id("/media/offline-b") || id("/srv/copies") == id("/srv") {
		t.Error("two media are one device")
	}
	file := filepath.Join(w.Root(), "media/offline-a/copy")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.Detach("offline-a"); err != nil {
		t.Fatal(err)
	}
	if id("/media/offline-a") != id("/") {
		t.Error("an empty mount point is not on the root disk")
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("file of a detached medium: got %v, want not exist", err)
	}
	if err := os.WriteFile(filepath.Join(w.Root(), "media/offline-a/stray"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.Attach("offline-a"); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(entries) != 1 || entries[0].Name() != "copy" {
		t.Errorf("attached again: got %v, %v, want the copy alone", entries, err)
	}
	if err := w.SetMedium("offline-b", func(d *ledger.Device) { d.Label, d.Serial = "offline-a", "SWAPPED" }); err != nil {
		t.Fatal(err)
	}
	b, err := w.Device("/media/offline-b")
	if err != nil || b.Label != "offline-a" || b.ID != "serial:SWAPPED" {
		t.Errorf("changed medium: got %+v, %v", b, err)
	}
	if _, err := w.Device("media"); err == nil {
		t.Error("a relative path: got a device")
	}
}
