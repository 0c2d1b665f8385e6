// Package real holds the tests against real components: OpenSSH's sftp-server as
// the offsite target, an ext4 file system on a loop device as the USB disk, the
// file keyring, age, zstd, tar and sha256sum as the tools of the worst day, and
// archives that a true Proxmox VE made. The Proxmox API is the lab's.
//
// They need root and RUNNER_REAL=1. With it, a missing component fails them; with
// none, they are skipped and say what to install.
package real

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// needs skips or fails a test whose programs are missing.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	packages := map[string]string{"sshd": "openssh-server", "ssh-keygen": "openssh-client", "age": "age", "age-keygen": "age", "zstd": "zstd",
		"mkfs.ext4": "e2fsprogs", "losetup": "mount", "nft": "nftables", "unshare": "util-linux", "journalctl": "systemd",
		"systemd-cat": "systemd", "logrotate": "logrotate", "gzip": "gzip", "ip": "iproute2", "sysctl": "procps", "iptables-nft": "iptables",
		"iptables-save": "iptables", "mount": "mount", "tar": "tar", "setfacl": "acl", "setfattr": "attr", "sha256sum": "coreutils",
		"named-checkzone": "bind9-utils", "sed": "sed", "pass": "pass", "keyctl": "keyutils", "gpg": "gnupg", "gpgconf": "gnupg",
		"gnome-keyring-daemon": "gnome-keyring", "dbus-run-session": "dbus", "dbus-send": "dbus", "bash": "bash", "python3": "python3",
		"apache2":     "apache2",
		"debootstrap": "debootstrap", "mke2fs": "e2fsprogs", "qemu-system-x86_64": "qemu-system-x86 seabios"}
	must := os.Getenv("RUNNER_REAL") != ""
	if !must {
		t.Skip("set RUNNER_REAL=1, as root, to run against real components")
	}
	if os.Geteuid() != 0 {
		t.Fatal("the real components need root: loop devices and mounts")
	}
	for _, p := range programs {
		if _, err := find(p); err != nil {
			t.Fatalf("%s is missing: apt-get install %s", p, packages[p])
		}
	}
}

func find(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/" + program)
}

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "runner-real-")
	if err != nil {
		return "", err
	}
	built = dir
	bin := filepath.Join(dir, "runner")
	return bin, compile(bin, "../../cmd/runner")
})

// compile builds a program.
func compile(bin, pkg string) error {
	c := exec.Command("go", "build", "-o", bin, pkg)
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := c.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return err
}

// built is the folder that TestMain removes.
var built string

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}
