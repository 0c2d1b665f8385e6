package proxmox

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func (m *maker) container(name string, size int64, tree func(*treeMaker) error) error {
	file := m.c.imageFile("pve1", m.s.Storages["local"], name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file, nil, 0o640); err != nil {
		return err
	}
	if err := os.Truncate(file, size); err != nil {
		return err
	}
	root, err := m.c.image(m.s, "pve1", "lxc", "local:"+name)
	if err != nil {
		return err
	}
	t := &treeMaker{root: root, owners: map[string][2]int{}, rng: rand.New(m.rng(name))}
	if err := tree(t); err != nil {
		return err
	}
	return t.close()
}

// treeMaker writes a container's files; the first error stays.
type treeMaker struct {
	root   string
	owners map[string][2]int
	rng    *rand.Rand
	dirs   []string
	err    error
}

// treeTime is when everything in a fresh tree was last changed.
func treeTime() time.Time { return time.Date(2026, 11, 1, 3, 14, 15, 0, time.UTC) }

func (t *treeMaker) do(err error) {
	if t.err == nil {
		t.err = err
	}
}

func (t *treeMaker) dir(name string, mode os.FileMode, owner ...int) {
	t.do(os.MkdirAll(filepath.Join(t.root, name), 0o755))
	t.do(os.Chmod(filepath.Join(t.root, name), mode)) // os.Mkdir heeds the umask
	t.own(name, owner)
	t.dirs = append(t.dirs, name)
}

func (t *treeMaker) file(name, text string, mode os.FileMode, owner ...int) {
	p := filepath.Join(t.root, name)
	t.do(os.MkdirAll(filepath.Dir(p), 0o755))
	t.do(os.WriteFile(p, []byte(text), 0o600))
	t.do(os.Chmod(p, mode))
	t.do(os.Chtimes(p, treeTime(), treeTime()))
	t.own(name, owner)
}

func (t *treeMaker) own(name string, owner []int) {
	if len(owner) == 2 {
		t.owners[name] = [2]int{owner[0], owner[1]}
	}
}

func (t *treeMaker) link(to, name string) {
	p := filepath.Join(t.root, name)
	t.do(os.Symlink(to, p))
	at := unix.NsecToTimeval(treeTime().UnixNano())
	t.do(unix.Lutimes(p, []unix.Timeval{at, at}))
}

func (t *treeMaker) hard(old, name string) {
	t.do(os.Link(filepath.Join(t.root, old), filepath.Join(t.root, name)))
}

// hole writes a file of this size with data only at its start and its end.
func (t *treeMaker) hole(name string, size int64) {
	t.file(name, "head of a sparse file\n", 0o640, 8, 8)
	p := filepath.Join(t.root, name)
	f, err := os.OpenFile(p, os.O_WRONLY, 0)
	if err != nil {
		t.do(err)
		return
	}
	t.do(f.Truncate(size))
	_, err = f.WriteAt([]byte("tail of a sparse file\n"), size-4096)
	t.do(err)
	t.do(f.Close())
	t.do(os.Chtimes(p, treeTime(), treeTime()))
}

// close sets the times of the folders, the deepest first.
func (t *treeMaker) close() error {
	t.do(walkDirs(t.root, func(dir string) error { return os.Chtimes(dir, treeTime(), treeTime()) }))
	t.do(writeOwners(t.root, t.owners))
	return t.err
}

func (m *maker) mailTree(t *treeMaker) error {
	for _, d := range []string{"bin", "etc", "etc/ssl", "home", "root", "tmp", "usr/bin", "usr/share/doc", "var/log", "var/lib", "var/run",
		"srv", "proc", "sys", "dev"} {
		t.dir(d, 0o755)
	}
	t.dir("tmp", 0o777|os.ModeSticky)
	t.dir("root", 0o700)
	t.dir("srv/leer", 0o755) // stays empty
	t.file("etc/hostname", "mail\n", 0o644)
	t.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nvmail:x:5000:5000::/var/vmail:/usr/sbin/nologin\n", 0o644)
	t.file("etc/shadow", "root:*:20000:0:99999:7:::\n", 0o640, 0, 42)
	t.file("etc/ssl/mail.key", "not a key\n", 0o600)
	t.file("bin/busybox", strings.Repeat("\x7fELF lab\n", 20000), 0o755|os.ModeSetuid)
	for _, name := range []string{"sh", "ls", "cat", "mount", "ip"} {
		t.link("busybox", "bin/"+name)
	}
	t.link("/etc/hostname", "etc/mailname")
	t.link("nirgends", "etc/broken-link")
	t.file("var/lib/canary", "canary of mail\n", 0o644)
	t.hard("var/lib/canary", "var/lib/canary-2")
	t.file("tmp/leftover", "not in a backup\n", 0o600)
	t.file("var/run/postfix.pid", "4711\n", 0o644)
	t.file("srv/Grüße aus Köln – §1.txt", "ein Name in UTF-8\n", 0o644)
	t.file("srv/odd \"name\"\twith 'everything'", "x", 0o604)
	t.file("var/log/"+strings.Repeat("long-name-", 14)+"x.log", "long\n", 0o640, 0, 4)
	t.hole("var/lib/sparse.db", 8<<20)
	t.dir("var/vmail", 0o750, 5000, 5000)
	for i := range 160 {
		dir := fmt.Sprintf("var/vmail/user%02d/cur", i%16)
		t.dir(dir, 0o700, 5000, 5000)
		text := fmt.Sprintf("From: a%d@example.com\nSubject: mail %d\n\n", i, i)
		for range 1 + t.rng.IntN(60) {
			text += fmt.Sprintf("line %016x\n", t.rng.Uint64())
		}
		t.file(fmt.Sprintf("%s/%d.M%d.mail:2,S", dir, 1700000000+i, i), text, 0o600, 5000, 5000)
	}
	return t.err
}

func (m *maker) wikiTree(t *treeMaker) error {
	for _, d := range []string{"etc", "mnt/shared", "var/www", "tmp"} {
		t.dir(d, 0o755)
	}
	t.file("etc/hostname", "wiki\n", 0o644)
	t.file("var/lib/canary", "canary of wiki\n", 0o644)
	for i := range 24 {
		t.file(fmt.Sprintf("var/www/page-%02d.txt", i), strings.Repeat(fmt.Sprintf("page %d %08x\n", i, t.rng.Uint32()), 40), 0o644, 33, 33)
	}
	return t.err
}
