package real

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheUSBDiskIsPulledInTheMiddle(t *testing.T) {
	s := newSite(t)
	s.bandwidth = 2 << 20
	s.write()
	pulled := false
	code := s.events(t.Context(), func(line string) {
		// mail is small: when its copy has ended, erp's is on the way at 2 MiB/s.
		if !pulled && strings.Contains(line, `"event":"end"`) && strings.Contains(line, `"primitive":"verify"`) {
			s.usb.pull()
			pulled = true
		}
	}, "exec", nightly)
	if !pulled || code != 1 {
		t.Fatalf("pulled %v, exit %d, want 1", pulled, code)
	}
	show := s.want(0, "show")
	if !strings.Contains(show, "usb") || !strings.Contains(show, "not copied to usb: target usb: ") {
		t.Errorf("show does not say what happened:\n%s", show)
	}
	for _, proven := range []string{"offsite"} {
		if !strings.Contains(show, proven) {
			t.Errorf("show does not name %s", proven)
		}
	}
	// Nobody may call this fine.
	if status, code := s.runner(nil, "status"); code != 1 {
		t.Errorf("status: exit %d\n%s", code, status)
	}
	// It is plugged in again.
	media := s.path("media")
	s.usb.detach()
	s.usb.attach()
	s.usb.mount(media)
	s.bandwidth = 0
	s.write()
	s.want(0, "retry")
	if left, _ := filepath.Glob(media + "/.runner-parts/*"); len(left) > 0 {
		t.Errorf("half files are left: %v", left)
	}
	if folders, _ := filepath.Glob(media + "/*/*/*/manifest.json"); len(folders) != 4 {
		t.Errorf("got %d copies on the disk, want 4", len(folders))
	}
}

func TestAnotherDiskInItsPlaceIsRefused(t *testing.T) {
	s := newSite(t)
	s.usb.unmount()
	other := newDisk(t, s.dir, "other", "BACKUP") // the same label
	other.mount(s.path("media"))
	out, code := s.runner(nil, "exec", nightly)
	if code != 1 || !strings.Contains(out, "E_WRONG_MEDIUM") {
		t.Fatalf("exit %d\n%s", code, out)
	}
	entries, err := os.ReadDir(s.path("media"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "lost+found" {
			t.Errorf("something was written to the wrong disk: %s", e.Name())
		}
	}
	if !strings.Contains(out, "read, opened before sealing") {
		t.Errorf("the other copies were not proven:\n%s", out)
	}
}

func TestTheMountPointAloneIsNoDisk(t *testing.T) {
	s := newSite(t)
	s.usb.unmount()
	out, code := s.runner(nil, "exec", nightly)
	if code != 3 || !strings.Contains(out, "no copy on usb, and never had one") {
		t.Fatalf("exit %d, want 3\n%s", code, out)
	}
	if entries, _ := os.ReadDir(s.path("media")); len(entries) > 0 {
		t.Errorf("something was written below the empty mount point: %v", entries)
	}
}

func TestSSHDDiesAndComesBack(t *testing.T) {
	s := newSite(t)
	s.sshd.stop()
	out, code := s.runner(nil, "exec", nightly)
	if code != 1 || !strings.Contains(out, "E_TARGET_DOWN") {
		t.Fatalf("exit %d\n%s", code, out)
	}
	s.sshd.start()
	s.want(0, "retry")
}

func TestAHostKeyThatChangedIsRefused(t *testing.T) {
	s := newSite(t)
	s.sshd.stop()
	os.Remove(s.path("host"))
	os.Remove(s.path("host.pub"))
	s.tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", s.path("host"))
	s.sshd.start()
	out, code := s.runner(nil, "exec", nightly)
	if code != 1 || !strings.Contains(out, "E_HOST_KEY") {
		t.Fatalf("exit %d\n%s", code, out)
	}
	if entries, _ := os.ReadDir(s.offsite); len(entries) > 0 {
		t.Errorf("something was sent to the other host: %v", entries)
	}
}
