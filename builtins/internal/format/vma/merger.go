package vma

import "math/bits"

// merger joins stored blocks that follow one another, both in the extent and
// on the device, so that a full extent of one disk goes out in one call.
type merger struct {
	fn     func(Device, int64, []byte) error
	device Device
	offset int64
	data   []byte // a part of the extent's data
	whole  []byte // one cluster, for streams only
}

// cluster deals out the stored blocks of one cluster.
func (m *merger) cluster(s *seen, e entry, blocks []byte) error {
	offset := int64(e.cluster) * clusterSize
	if s.stream {
		return m.streamCluster(s.device, offset, e.mask, blocks)
	}
	for mask := uint32(e.mask); mask != 0; {
		skip := bits.TrailingZeros32(mask)
		n := bits.TrailingZeros32(^(mask >> skip))
		if err := m.add(s.device, offset+int64(skip)*blockSize, blocks[:n*blockSize]); err != nil {
			return err
		}
		blocks = blocks[n*blockSize:]
		mask &^= (1<<n - 1) << skip
	}
	return nil
}

// add takes blocks that lie in the extent right behind the last ones taken.
func (m *merger) add(d Device, offset int64, data []byte) error {
	if offset >= d.Size {
		return nil
	}
	if rest := d.Size - offset; int64(len(data)) > rest {
		data = data[:rest]
	}
	if len(m.data) > 0 && m.device.ID == d.ID && m.offset+int64(len(m.data)) == offset {
		m.data = m.data[:len(m.data)+len(data)]
		return nil
	}
	if err := m.flush(); err != nil {
		return err
	}
	m.device, m.offset, m.data = d, offset, data
	return nil
}

// flush hands out what was gathered; the buffer is about to change.
func (m *merger) flush() error {
	data := m.data
	m.data = nil
	if len(data) == 0 {
		return nil
	}
	return m.fn(m.device, m.offset, data[:len(data):len(data)])
}

// streamCluster delivers a whole cluster of a stream, zero blocks included:
// whoever appends them cannot leave them out.
func (m *merger) streamCluster(d Device, offset int64, mask uint16, blocks []byte) error {
	if err := m.flush(); err != nil {
		return err
	}
	if m.whole == nil {
		m.whole = make([]byte, clusterSize)
	}
	clear(m.whole)
	for j := range clusterBlocks {
		if mask&(1<<j) != 0 {
			copy(m.whole[j*blockSize:], blocks[:blockSize])
			blocks = blocks[blockSize:]
		}
	}
	return m.fn(d, offset, m.whole)
}
