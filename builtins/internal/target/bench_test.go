//go:build linux

package target_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/internal/format/vma"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/tests/gauge"
)

// TestBench holds whole copies against the usual tools, run one after the other
// as a script does. Ours runs in a child process; what OpenSSH's server takes is
// added on both sides.
//
//   - protect: one file to a folder, a sealed folder and an SFTP server, flushed,
//     all three read back past the cache and compared. The peer: openssl dgst, cp,
//     age and sftp, each with its sync, and three verifies. It gets off lightly: of
//     its age file it knows no digest to compare with.
//   - plain: the same to three plain places; the peer is rclone copy and
//     rclone check --download, three times, and sync, which rclone leaves out.
//   - read-back of one cold local copy, against openssl dgst.
//   - SFTP put with digest, against sftp.
//   - verify at level opened of a cold .vma.zst, its SHA-256 in the same pass,
//     against zstd -t, which takes no digest and looks into nothing.
func TestBench(t *testing.T) {
	b := &bench{m: gauge.Begin(t), dir: t.TempDir()}
	if _, err := gauge.Find("sshd"); err == nil {
		b.sshd = startSSHD(t)
	}
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{{"read back", b.readBack}, {"put", b.put}, {"opened", b.opened}, {"protect", b.protect}, {"plain", b.plain}} {
		t.Run(part.name, part.run)
	}
	b.table.Print(t)
}

type bench struct {
	m     gauge.Mode
	dir   string
	file  string // like a disk of a virtual machine
	size  int64
	sshd  *sshd // nil where it is missing
	table gauge.Table
}

// image makes the source once.
func (b *bench) image(t *testing.T) string {
	t.Helper()
	if b.file == "" {
		b.size = b.m.Size(t, 16<<20, 2<<30)
		b.file = filepath.Join(b.dir, "disk.raw")
		gauge.Image(t, b.file, b.size)
	}
	return b.file
}

// rounds runs ours and the peer's work in turn, each from a cold source.
// gate is for the ratio of processor time, peak for our memory in MiB.
func (b *bench) rounds(t *testing.T, what string, gate, peak float64, cold []string, ours, peer func() gauge.Cost) {
	t.Helper()
	var us, they []gauge.Cost
	measure := func(list *[]gauge.Cost, work func() gauge.Cost) {
		gauge.Cold(t, cold...)
		*list = append(*list, work())
	}
	for i := range b.m.Rounds(t) { // neither is always the second
		if i%2 == 0 {
			measure(&they, peer)
		}
		measure(&us, ours)
		if i%2 == 1 {
			measure(&they, peer)
		}
	}
	t.Logf("%s: ours %v, peer %v", what, us, they)
	b.table.Ratio(t, b.m, what, us, they, gate)
	b.table.Peak(t, what, us, peak)
}

// folders returns new folders and what removes them.
func (b *bench) folders(t *testing.T, names ...string) ([]string, func()) {
	t.Helper()
	dir, err := os.MkdirTemp(b.dir, "round-")
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range names {
		names[i] = filepath.Join(dir, n)
		if err := os.Mkdir(names[i], 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return names, func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

func (b *bench) work(t *testing.T, level int, targets ...place) work {
	return work{File: b.image(t), Name: "disk.raw", Size: b.size, Targets: targets, Level: level}
}

func (b *bench) server(t *testing.T, dir string) place {
	return place{Name: "offsite", URL: fmt.Sprintf("sftp://%s@127.0.0.1:%s%s", b.sshd.user(), b.sshd.port, dir), HostKey: b.sshd.hostKey,
		Key: b.sshd.key}
}

func local(name, dir, recipient string) place {
	return place{Name: name, URL: "file://" + dir, Recipient: recipient}
}

func (b *bench) readBack(t *testing.T) {
	gauge.Need(t, "openssl")
	dirs, remove := b.folders(t, "a")
	defer remove()
	_, copies := b.work(t, ledger.Stored, local("a", dirs[0], "")).child(t)
	stored := filepath.Join(dirs[0], copies[0].Ref, copies[0].Files[0].Name)
	again := work{Targets: []place{local("a", dirs[0], "")}, Level: ledger.Read, Copies: copies}
	b.rounds(t, "read back / openssl dgst", 0.9, 128, []string{stored}, func() gauge.Cost {
		c, _ := again.child(t)
		return c
	}, func() gauge.Cost {
		return gauge.Tools(t, []string{"openssl", "dgst", "-sha256", stored})
	})
}

func (b *bench) put(t *testing.T) {
	gauge.Need(t, "sshd", "sftp")
	source := b.image(t)
	b.rounds(t, "sftp put with SHA-256 / sftp", 1.1, 128, []string{source}, func() gauge.Cost {
		dirs, remove := b.folders(t, "a")
		defer remove()
		return b.sshd.with(t, func() gauge.Cost {
			c, _ := b.work(t, ledger.Stored, b.server(t, dirs[0])).child(t)
			return c
		})
	}, func() gauge.Cost {
		dirs, remove := b.folders(t, "a")
		defer remove()
		return b.sshd.with(t, func() gauge.Cost { return b.sshd.batch(t, fmt.Sprintf("put -f %s %s/x\n", source, dirs[0])) })
	})
}

func (b *bench) opened(t *testing.T) {
	gauge.Need(t, "zstd")
	dirs, remove := b.folders(t, "a", "source")
	defer remove()
	w := work{File: b.archive(t, dirs[1]), Targets: []place{local("a", dirs[0], "")}}
	info, err := os.Stat(w.File)
	if err != nil {
		t.Fatal(err)
	}
	w.Name, w.Size = filepath.Base(w.File), info.Size()
	_, copies := w.child(t)
	stored := filepath.Join(dirs[0], copies[0].Ref, copies[0].Files[0].Name)
	again := work{Targets: w.Targets, Level: ledger.Opened, Copies: copies}
	b.rounds(t, "verify opened / zstd -t", 1.3, 64, []string{stored}, func() gauge.Cost {
		c, _ := again.child(t)
		return c
	}, func() gauge.Cost {
		return gauge.Tools(t, []string{"zstd", "-q", "-t", stored})
	})
}

// archive packs the image as vzdump does.
func (b *bench) archive(t *testing.T, dir string) string {
	t.Helper()
	source, err := os.Open(b.image(t))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	path := filepath.Join(dir, "vzdump-qemu-100-2026_11_23-07_11_16.vma.zst")
	zstd, err := gauge.Find("zstd")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), zstd, "-q", "-1", "-o", path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w, err := vma.NewWriter(in, vma.Header{UUID: [16]byte{1}, Created: time.Unix(1_790_000_000, 0),
		Configs: []vma.Config{{Name: "qemu-server.conf", Data: []byte("name: erp\nscsi0: local:100/disk.raw\n")}},
		Devices: []vma.Device{{ID: 1, Name: "drive-scsi0", Size: b.size}}})
	if err == nil {
		err = pack(w, source, b.size)
	}
	if cerr := in.Close(); err == nil {
		err = cerr
	}
	if werr := cmd.Wait(); err == nil {
		err = werr
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func (b *bench) protect(t *testing.T) {
	gauge.Need(t, "openssl", "cp", "sync", "age", "sshd", "sftp")
	recipient := identity(t, filepath.Join(b.dir, "key.txt"))
	source := b.image(t)
	b.rounds(t, "three targets, one sealed / shell", 0.85, 128, []string{source}, func() gauge.Cost {
		dirs, remove := b.folders(t, "a", "b", "c")
		defer remove()
		return b.sshd.with(t, func() gauge.Cost {
			c, _ := b.work(t, ledger.Read, local("a", dirs[0], ""), local("b", dirs[1], recipient), b.server(t, dirs[2])).child(t)
			return c
		})
	}, func() gauge.Cost {
		dirs, remove := b.folders(t, "a", "b", "c")
		defer remove()
		return b.sshd.with(t, func() gauge.Cost { return b.shell(t, source, recipient, dirs) })
	})
}

// shell is what a careful script does.
func (b *bench) shell(t *testing.T, source, recipient string, dirs []string) gauge.Cost {
	t.Helper()
	plain, sealed, back := dirs[0]+"/x", dirs[1]+"/x.age", dirs[2]+"/back"
	c := gauge.Tools(t, []string{"openssl", "dgst", "-sha256", source}, []string{"cp", source, plain}, []string{"sync", plain},
		[]string{"age", "-r", recipient, "-o", sealed, source}, []string{"sync", sealed})
	c = c.Plus(b.sshd.batch(t, fmt.Sprintf("put -f %s %s/x\n", source, dirs[2])))
	gauge.Drop(t, plain, sealed)
	c = c.Plus(gauge.Tools(t, []string{"openssl", "dgst", "-sha256", plain}, []string{"openssl", "dgst", "-sha256", sealed}))
	c = c.Plus(b.sshd.batch(t, fmt.Sprintf("get %s/x %s\n", dirs[2], back)))
	return c.Plus(gauge.Tools(t, []string{"openssl", "dgst", "-sha256", back}))
}

func (b *bench) plain(t *testing.T) {
	gauge.Need(t, "rclone", "sync", "sshd")
	source := b.image(t)
	b.rounds(t, "three plain targets / rclone", 0.6, 128, []string{source}, func() gauge.Cost {
		dirs, remove := b.folders(t, "a", "b", "c")
		defer remove()
		return b.sshd.with(t, func() gauge.Cost {
			c, _ := b.work(t, ledger.Read, local("a", dirs[0], ""), local("b", dirs[1], ""), b.server(t, dirs[2])).child(t)
			return c
		})
	}, func() gauge.Cost {
		dirs, remove := b.folders(t, "a", "b", "c")
		defer remove()
		return b.sshd.with(t, func() gauge.Cost { return b.rclone(t, source, dirs) })
	})
}

func (b *bench) rclone(t *testing.T, source string, dirs []string) (c gauge.Cost) {
	t.Helper()
	remote := fmt.Sprintf(`:sftp,host="127.0.0.1",port=%s,user=%s,key_file="%s",known_hosts_file="%s/known_hosts":%s`,
		b.sshd.port, b.sshd.user(), b.sshd.key, b.sshd.dir, dirs[2])
	places := []string{dirs[0], dirs[1], remote}
	from := []string{"--config", "/dev/null", "--include", "/" + filepath.Base(source), filepath.Dir(source)}
	for _, to := range places {
		c = c.Plus(gauge.Tools(t, append(append([]string{"rclone", "copy"}, from...), to)))
	}
	stored := []string{filepath.Join(dirs[0], filepath.Base(source)), filepath.Join(dirs[1], filepath.Base(source))}
	c = c.Plus(gauge.Tools(t, append([]string{"sync"}, append(stored, filepath.Join(dirs[2], filepath.Base(source)))...)))
	gauge.Drop(t, stored...)
	for _, to := range places {
		c = c.Plus(gauge.Tools(t, append(append([]string{"rclone", "check", "--download"}, from...), to)))
	}
	return c
}
