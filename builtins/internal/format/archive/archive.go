package archive

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/neosofia/runner/builtins/internal/format/vma"
)

// Report says what was found. It is complete only without an error.
type Report struct {
	// Format is "vma.zst", "tar.gz", "vma", "tar", and "zst" or "gz" for
	// compressed bytes of which nothing more is known.
	Format string
	// Configs are the guest's configuration files: those of a VMA, or pct.conf
	// and pct.fw of a container that vzdump saved.
	Configs []vma.Config
	// Devices are the disks of a VMA.
	Devices []vma.Device
	// Entries counts the entries of a tar.
	Entries int64
	// Bytes counts the clear bytes of the payload.
	Bytes int64
	// OutOfReach are the topmost files and folders of a tar whose names are deeper or
	// longer than what can be restored: Check refuses the archive because of them. Of
	// more than 100 the others are not named.
	OutOfReach []string
	// Skipped names what ExtractTree did not restore and why, one line each, at
	// most 50,000 of them and one that counts the rest.
	Skipped []string
}

// MaxDepth is how many levels a name in a tar may have, the slash behind a folder being
// one.
const MaxDepth = 1024

// maxOutOfReach bounds Report.OutOfReach.
const maxOutOfReach = 100

// Check reads an archive to its end, parsing all of its structure, and reports
// what is in it. The name is that of the file and says what it is. The source is
// read to its end, so a digest can be taken in the same pass.
//
// Errors: *Error when the archive is at fault; ErrUnknown and ErrUnsupported
// when it cannot be opened; what the source or ctx returned otherwise.
func Check(ctx context.Context, name string, r io.Reader) (Report, error) {
	s, err := open(ctx, name, r)
	if err != nil {
		return Report{}, err
	}
	defer s.close()
	report := Report{Format: s.format.String()}
	switch s.format.container {
	case vmaContainer:
		err = s.disks(&report, nil)
	case tarContainer:
		err = s.entries(&report, nil)
	default:
		err = s.drain()
	}
	report.Bytes = s.n
	return report, err
}

// ExtractDisks checks a VMA archive as Check does and writes its disks: see
// vma.Reader.Extract for what open returns and for what the caller has to do.
// The disks are worth something only without an error.
func ExtractDisks(ctx context.Context, name string, r io.Reader, target func(vma.Device) (io.WriterAt, error)) (Report, error) {
	s, err := open(ctx, name, r)
	if err != nil {
		return Report{}, err
	}
	defer s.close()
	if s.format.container != vmaContainer {
		return Report{}, fmt.Errorf("extract disks of %s: a %s archive holds no disks", name, s.format)
	}
	report := Report{Format: s.format.String()}
	err = s.disks(&report, target)
	report.Bytes = s.n
	return report, err
}

// disks reads a VMA; without target it only verifies.
func (s *stream) disks(report *Report, target func(vma.Device) (io.WriterAt, error)) error {
	v, err := vma.NewReader(s)
	if err != nil {
		return s.blame(err)
	}
	h := v.Header()
	report.Configs, report.Devices = h.Configs, h.Devices
	if err := s.wantConfig(report); err != nil {
		return err
	}
	if target == nil {
		err = v.Walk(s.ctx, nil)
	} else {
		err = v.Extract(s.ctx, target)
	}
	if err != nil {
		return s.blame(err)
	}
	return nil
}

// blame turns an error of the VMA reader into one of ours.
func (s *stream) blame(err error) error {
	if broken := s.broken(); broken != nil {
		return broken
	}
	var fault *vma.Error
	if errors.As(err, &fault) {
		return &Error{Name: s.name, Err: fault}
	}
	return fmt.Errorf("extract %s: %w", s.name, err)
}

// wantConfig refuses an archive of vzdump without the configuration that makes
// it restorable.
func (s *stream) wantConfig(report *Report) error {
	want := s.format.wantConfig
	if want == "" {
		return nil
	}
	for _, c := range report.Configs {
		if c.Name == want && len(c.Data) > 0 {
			return nil
		}
	}
	return &Error{Name: s.name, What: fmt.Sprintf("the guest's configuration (%s) is not inside", want)}
}

// drain reads the clear bytes to their end.
func (s *stream) drain() error {
	buf := make([]byte, inputBuffer)
	for {
		if _, err := s.Read(buf); err != nil {
			return s.broken()
		}
	}
}
