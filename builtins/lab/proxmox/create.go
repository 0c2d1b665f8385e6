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

// Create makes the cluster of a new world in dir: one node with its storages
// and guests. The same seed gives the same bytes.
func Create(dir string, seed uint64, now time.Time, tokens map[string]*Token) error {
	s := &state{
		Nodes: []string{"pve1"}, Tokens: tokens,
		Storages: map[string]*Storage{
			"local":  {Type: "dir", Path: "/var/lib/vz", Content: "images,rootdir,iso,backup", Prune: "keep-all=1"},
			"backup": {Type: "dir", Path: "/srv/backup", Content: "backup"},
		},
		Guests: map[int]guestState{
			100: {Running: true, Since: now.Unix() - 86400, Agent: "up"},
			101: {Running: true, Since: now.Unix() - 86400},
			102: {}, 103: {}, 900: {},
		},
	}
	if err := os.MkdirAll(filepath.Join(dir, "tasks"), 0o755); err != nil {
		return err
	}
	m := &maker{c: &Cluster{dir: dir}, s: s, seed: seed}
	if err := m.c.makeNode("pve1", s); err != nil {
		return err
	}
	if err := m.guests(); err != nil {
		return fmt.Errorf("create guests of the lab: %w", err)
	}
	return writeJSON(m.c.statePath(), s)
}

type maker struct {
	c    *Cluster
	s    *state
	seed uint64
}

// rng gives a stream of its own to every name.
func (m *maker) rng(name string) *rand.ChaCha8 {
	return rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%016x%-32s", m.seed, name))[:32]))
}

const erpConf = `#ERP, production
agent: 1
bios: ovmf
boot: order=scsi0;net0
cores: 2
efidisk0: local:100/vm-100-disk-1.raw,efitype=4m,pre-enrolled-keys=1,size=528K
memory: 2048
meta: creation-qemu=10.0.13,ctime=1789000000
name: erp
net0: virtio=BC:24:11:10:00:01,bridge=vmbr0,firewall=1
onboot: 1
ostype: l26
scsi0: local:100/vm-100-disk-0.raw,size=48M
scsihw: virtio-scsi-single
smbios1: uuid=0b3c2e10-4a52-4a77-9d3e-0a1b2c3d4e5f
tags: prod
vmgenid: 1f0a4c61-6d0c-4ab1-9c0e-8d2f6b7a5c43
`

const gitConf = `boot: order=virtio0
cores: 1
memory: 1024
meta: creation-qemu=10.0.13,ctime=1789000100
name: git
net0: virtio=BC:24:11:10:00:02,bridge=vmbr0
onboot: 1
ostype: l26
scsi1: local:102/vm-102-disk-1.raw,backup=0,size=8M
scsihw: virtio-scsi-single
smbios1: uuid=5a1d7b7e-8f0b-4f0e-b7a4-3f6f2f1d9c02
vmgenid: 9b7de6a4-50b3-4d60-8cf5-1f1f0f6a7d11
virtio0: local:102/vm-102-disk-0.raw,size=16M
`

const scratchConf = `#for tests only
boot: order=scsi0
cores: 1
memory: 256
meta: creation-qemu=10.0.13,ctime=1789000200
name: scratch
net0: virtio=BC:24:11:10:00:09,bridge=vmbr0
ostype: l26
scsi0: local:900/vm-900-disk-0.raw,size=4M
scsihw: virtio-scsi-single
smbios1: uuid=d0c1f7a2-33c4-4c57-8f3b-0fd4f2e61b90
vmgenid: 4d2e9c83-7c1f-4a06-93a2-6f3be1c5a908
`

const mailConf = `arch: amd64
cores: 1
hostname: mail
memory: 512
net0: name=eth0,bridge=vmbr0,firewall=1,hwaddr=BC:24:11:10:01:01,ip=10.77.0.101/24,type=veth
onboot: 1
ostype: debian
rootfs: local:101/vm-101-disk-0.raw,size=1G
swap: 0
unprivileged: 1
`

const wikiConf = `arch: amd64
cores: 1
hostname: wiki
memory: 256
mp0: /srv/shared,mp=/mnt/shared
net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:10:01:03,ip=dhcp,type=veth
ostype: debian
rootfs: local:103/vm-103-disk-0.raw,size=512M
swap: 0
unprivileged: 1
`

const erpFirewall = `[OPTIONS]
enable: 1
policy_in: DROP

[RULES]
IN ACCEPT -i net0 -p tcp -dport 443
`

const mailFirewall = `[OPTIONS]
enable: 1
policy_in: DROP

[ALIASES]
relay 198.51.100.7

[RULES]
IN ACCEPT -i net0 -source guest/relay -p tcp -dport 25
IN ACCEPT -i net0 -p tcp -dport 993
`

func (m *maker) guests() error {
	for _, g := range []struct {
		id         int
		kind, text string
		firewall   string
	}{
		{100, "qemu", erpConf, erpFirewall}, {102, "qemu", gitConf, ""}, {900, "qemu", scratchConf, ""},
		{101, "lxc", mailConf, mailFirewall}, {103, "lxc", wikiConf, ""},
	} {
		if err := writeFile(m.c.confPath("pve1", g.kind, g.id), []byte(g.text)); err != nil {
			return err
		}
		if g.firewall != "" {
			if err := writeFile(m.c.firewallPath(m.s, g.id), []byte(g.firewall)); err != nil {
				return err
			}
		}
	}
	const mib = 1 << 20
	for _, d := range []struct {
		name string
		size int64
		data int64 // of it is not zero
	}{
		{"100/vm-100-disk-0.raw", 48 * mib, 16 * mib}, {"100/vm-100-disk-1.raw", 540672, 192 << 10},
		{"102/vm-102-disk-0.raw", 16 * mib, 5 * mib}, {"102/vm-102-disk-1.raw", 8 * mib, 1 * mib}, {"900/vm-900-disk-0.raw", 4 * mib, 1 * mib},
	} {
		if err := m.disk(d.name, d.size, d.data); err != nil {
			return err
		}
	}
	if err := m.container("101/vm-101-disk-0.raw", 1<<30, m.mailTree); err != nil {
		return err
	}
	return m.container("103/vm-103-disk-0.raw", 512<<20, m.wikiTree)
}

// disk writes a raw image: runs of text, of records and of noise, with holes
// between them. The first and the last block always hold data.
func (m *maker) disk(name string, size, data int64) error {
	path := m.c.imageFile("pve1", m.s.Storages["local"], name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return err
	}
	src := m.rng(name)
	r := rand.New(src)
	const block = 4096
	buf := make([]byte, 0, 64*block)
	put := func(kind int, at, n int64) error {
		n = min(n, size-at)
		buf = fill(buf[:n], kind, at, src)
		_, err := f.WriteAt(buf, at)
		return err
	}
	if err := put(1, 0, 2*block); err != nil {
		return err
	}
	for left, kind := data-3*block, 0; left > 0; kind++ {
		n := min(left, int64(1+r.IntN(64))*block)
		at := r.Int64N(max((size-n)/block, 1)) * block
		if err := put(kind%3, at, n); err != nil {
			return err
		}
		left -= n
	}
	if err := put(1, (size-1)/block*block, block); err != nil {
		return err
	}
	return f.Close()
}

// fill makes text (0), records (1) or noise (2) that is never all zero.
func fill(b []byte, kind int, at int64, src *rand.ChaCha8) []byte {
	switch kind {
	case 0:
		for n := 0; n < len(b); {
			line := fmt.Sprintf("2026-11-%02d %012d order %08x booked, customer %04d\n", 1+(at/4096)%28, at+int64(n), src.Uint64()>>32, src.Uint64()%5000)
			n += copy(b[n:], line)
		}
	case 1:
		for i := range b {
			b[i] = byte(i>>4) ^ byte(at>>12)
		}
		copy(b, "RECORDS\x01")
	default:
		_, _ = src.Read(b) // never fails
	}
	return b
}

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
	for _, d := range []string{"bin", "etc", "etc/ssl", "home", "root", "tmp", "usr/bin", "usr/share/doc", "var/log", "var/lib", "var/run", "srv", "proc", "sys", "dev"} {
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
