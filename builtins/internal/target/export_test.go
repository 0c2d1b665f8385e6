package target

import "time"

// SetSilence makes an SFTP target impatient, from its next connection on.
func SetSilence(t *Target, d time.Duration) {
	s := t.store.(*sftpStore)
	s.Close()
	s.dialer.config.Silence = d
}
