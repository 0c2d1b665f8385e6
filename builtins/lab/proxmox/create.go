package proxmox

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
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
		Pools: map[string][]int{"office": {102, 103}},
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
	for path, text := range map[string]string{
		"etc/pve/firewall/cluster.fw": clusterFirewall, "etc/pve/nodes/pve1/host.fw": hostFirewall, "etc/network/interfaces": interfaces,
		"etc/pve/sdn/zones.cfg": sdnZones, "etc/pve/sdn/vnets.cfg": sdnVnets, "etc/pve/sdn/subnets.cfg": sdnSubnets,
	} {
		path = m.c.node("pve1", path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := writeFile(path, []byte(text)); err != nil {
			return err
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
	content, err := m.filler(name)
	if err != nil {
		return err
	}
	r := rand.New(m.rng(name))
	const block = 4096
	buf := make([]byte, 0, 64*block)
	put := func(kind int, at, n int64) error {
		n = min(n, size-at)
		buf = buf[:n]
		content.fill(buf, kind, at)
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

// filler makes the content of disks. It is quick, since every new world needs
// tens of megabytes: text is one page with a new first line, noise a key stream
// of AES.
type filler struct {
	page  []byte
	noise cipher.Stream
}

func (m *maker) filler(name string) (*filler, error) {
	src := m.rng("fill " + name)
	var key, iv [16]byte
	_, _ = src.Read(key[:]) // never fails
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	f := &filler{noise: cipher.NewCTR(block, iv[:])}
	for len(f.page) < 4096 {
		f.page = fmt.Appendf(f.page, "order %08x booked, customer %04d\n", src.Uint64()>>32, src.Uint64()%5000)
	}
	return f, nil
}

// fill makes text (0), records (1) or noise (2); no block of it is all zero.
func (f *filler) fill(b []byte, kind int, at int64) {
	if kind == 2 {
		clear(b)
		f.noise.XORKeyStream(b, b)
		return
	}
	for n := 0; n < len(b); n += 4096 {
		page := b[n:min(n+4096, len(b))]
		if kind == 0 {
			copy(page, f.page)
			copy(page, fmt.Sprintf("page %012d ", at+int64(n)))
			continue
		}
		clear(page)
		copy(page, fmt.Sprintf("RECORDS\x01%012d", at+int64(n)))
		for i := 64; i+8 < len(page); i += 64 {
			binary.LittleEndian.PutUint64(page[i:], uint64(at)+uint64(n+i))
		}
	}
}
