package real

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestANightOnRealTargets(t *testing.T) {
	s := newSite(t)
	out, code := s.runner(nil, "exec", nightly)
	// The USB copy is sealed to nobody here, so "opened" can be reached; the
	// medium is still attached, which a run does not hold against the night.
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, out)
	}
	for _, want := range []string{"erp", "opened", "read, opened before sealing", ": ok after"} {
		if !strings.Contains(out, want) {
			t.Errorf("the summary does not say %q:\n%s", want, out)
		}
	}
	status, _ := s.runner(nil, "status")
	if !strings.Contains(status, "3/3 copies, 2/2 media, 1/1 offsite, 0/1 offline, 0 unproven") ||
		!strings.Contains(status, "usb is still attached") {
		t.Errorf("status:\n%s", status)
	}
	identity, err := os.ReadFile(s.path("recovery.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if out, code := s.runner(identity, "recovery-key", "test", "--target", "offsite"); code != 0 {
		t.Fatalf("the recovery key: exit %d\n%s", code, out)
	}
	s.usb.unmount()
	status = s.want(0, "status")
	if !strings.Contains(status, "1/1 offline") {
		t.Errorf("status after the disk was taken away:\n%s", status)
	}
	s.want(0, "ledger", "verify")
	leaks(t, s)
	restoredByToolsAlone(t, s)
}

// leaks looks for the secrets in every file of state and targets.
func leaks(t *testing.T, s *site) {
	t.Helper()
	key, err := os.ReadFile(s.path("client"))
	if err != nil {
		t.Fatal(err)
	}
	middle := strings.Split(string(key), "\n")[2]
	for _, dir := range []string{"state", "offsite", "keyring"} {
		err := filepath.WalkDir(s.path(dir), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.Contains(path, "runner-linux") {
				return err
			}
			raw, err := os.ReadFile(path)
			if strings.Contains(string(raw), middle) || strings.Contains(string(raw), "real keyring") {
				t.Errorf("%s holds a secret in clear", path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// restoredByToolsAlone opens the offsite copies with sha256sum, age, zstd and tar.
func restoredByToolsAlone(t *testing.T, s *site) {
	t.Helper()
	copies, err := filepath.Glob(s.path("offsite") + "/*/*/*")
	if err != nil || len(copies) != 4 {
		t.Fatalf("got %d copies offsite, want 4 (%v)", len(copies), err)
	}
	for _, dir := range copies {
		c := exec.Command("sha256sum", "-c", "SHA256SUMS")
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("sha256sum -c in %s: %v\n%s", dir, err, out)
		}
		sealed, err := filepath.Glob(dir + "/*.age")
		if err != nil || len(sealed) != 1 {
			t.Fatalf("%s: %v %v", dir, sealed, err)
		}
		clear := filepath.Join(s.dir, strings.TrimSuffix(filepath.Base(sealed[0]), ".age"))
		s.tool("age", "-d", "-i", s.path("recovery.txt"), "-o", clear, sealed[0])
		s.tool("zstd", "-q", "-t", clear)
		if strings.Contains(clear, ".tar.zst") {
			list := s.tool("tar", "--zstd", "-tf", clear)
			if !strings.Contains(list, "./etc/vzdump/pct.conf") {
				t.Errorf("%s holds no configuration", clear)
			}
			continue
		}
		vmDisks(t, s, clear)
	}
}

func vmDisks(t *testing.T, s *site, clear string) {
	t.Helper()
	id := map[bool]int{true: 100, false: 102}[strings.Contains(clear, "qemu-100")]
	disk := map[int]string{100: "scsi0", 102: "virtio0"}[id]
	to := t.TempDir()
	s.want(0, "recover", "--from", clear, "--to", to)
	want, err := s.world.Disk(id, disk)
	if err != nil {
		t.Fatal(err)
	}
	got, err := filepath.Glob(to + "/*/disk-drive-" + disk + ".raw")
	if err != nil || len(got) != 1 {
		t.Fatalf("got %v, %v", got, err)
	}
	if sum(t, got[0]) != sum(t, want) {
		t.Errorf("the disk %s of guest %d did not come back byte for byte", disk, id)
	}
}

func TestTheServerIsGone(t *testing.T) {
	s := newSite(t)
	s.want(0, "exec", nightly)
	// Only the medium and the runner on it are left.
	medium := s.path("media")
	bin := medium + "/runner-linux-amd64"
	alone := func(args ...string) string {
		t.Helper()
		c := exec.Command(bin, args...)
		c.Env = []string{"HOME=" + t.TempDir(), "PATH=/nowhere"}
		c.Dir = t.TempDir()
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	list := alone("recover", "--from", medium)
	for _, item := range []string{"erp", "mail", "git", "wiki"} {
		if !strings.Contains(list, item) {
			t.Errorf("the list does not hold %s:\n%s", item, list)
		}
	}
	if out := alone("recover", "--from", medium, "--verify"); strings.Count(out, "opened") != 4 {
		t.Errorf("verify:\n%s", out)
	}
	to := t.TempDir()
	alone("recover", "--from", medium, "--item", "erp", "--to", to)
	want, err := s.world.Disk(100, "scsi0")
	if err != nil {
		t.Fatal(err)
	}
	got, _ := filepath.Glob(to + "/*/disk-drive-scsi0.raw")
	if len(got) != 1 || sum(t, got[0]) != sum(t, want) {
		t.Errorf("the disk did not come back: %v", got)
	}
	alone("recover", "--from", medium, "--item", "mail", "--to", to)
	if _, err := os.Stat(filepath.Join(to, "x")); err == nil {
		t.Error("something else was made")
	}
	trees, _ := filepath.Glob(to + "/mail-*/rootfs/etc/hostname")
	if len(trees) != 1 {
		t.Errorf("the container's tree did not come back: %v", trees)
	}
}
