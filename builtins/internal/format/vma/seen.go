package vma

import (
	"fmt"
	"math/bits"
)

// seen records which clusters of one device have come by. The bitmap comes into
// being page by page, so that a small archive that claims a huge disk costs
// little.
type seen struct {
	device Device
	stream bool    // vmstate: in order, no end known
	count  int64   // clusters seen
	pages  []*page // one bit a cluster; nil for a stream
}

const pageBits = 65536

type page [pageBits / 64]uint64

func newSeen(devices []Device) []*seen {
	byID := make([]*seen, 256)
	for _, d := range devices {
		s := &seen{device: d, stream: d.Name == vmstate}
		if !s.stream {
			s.pages = make([]*page, (d.clusters()+pageBits-1)/pageBits)
		}
		byID[d.ID] = s
	}
	return byID
}

// add notes a cluster; an error says why the cluster cannot be.
func (s *seen) add(cluster uint32) error {
	if s.stream {
		if int64(cluster) != s.count {
			return fmt.Errorf("cluster %d of a stream comes where %d is due", cluster, s.count)
		}
		s.count++
		return nil
	}
	if int64(cluster) >= s.device.clusters() {
		return fmt.Errorf("cluster %d is past the end (%d clusters)", cluster, s.device.clusters())
	}
	p := s.pages[cluster/pageBits]
	if p == nil {
		p = new(page)
		s.pages[cluster/pageBits] = p
	}
	word, bit := cluster%pageBits/64, uint64(1)<<(cluster%64)
	if p[word]&bit != 0 {
		return fmt.Errorf("cluster %d is there twice", cluster)
	}
	p[word] |= bit
	s.count++
	return nil
}

// has reports whether a cluster has come.
func (s *seen) has(cluster int64) bool {
	if s.stream {
		return cluster < s.count
	}
	if cluster >= s.device.clusters() {
		return false
	}
	p := s.pages[cluster/pageBits]
	return p != nil && p[cluster%pageBits/64]&(1<<(cluster%64)) != 0
}

// missing returns how many clusters have not come, and the first of them.
func (s *seen) missing() (n, first int64) {
	if s.stream {
		return 0, 0
	}
	n = s.device.clusters() - s.count
	if n == 0 {
		return 0, 0
	}
	for i, p := range s.pages {
		if p == nil {
			return n, int64(i) * pageBits
		}
		for j, w := range p {
			if w != ^uint64(0) {
				return n, int64(i)*pageBits + int64(j)*64 + int64(bits.TrailingZeros64(^w))
			}
		}
	}
	return n, s.device.clusters()
}

// complete returns an error that names the first device with missing clusters.
func complete(devices []Device, byID []*seen) error {
	for _, d := range devices {
		if n, first := byID[d.ID].missing(); n > 0 {
			return fmt.Errorf("device %d (%s) lacks %d of %d clusters, the first is %d", d.ID, d.Name, n, d.clusters(), first)
		}
	}
	return nil
}
