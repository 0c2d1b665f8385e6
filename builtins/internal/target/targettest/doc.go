// Package targettest holds the promises of package target, for every scheme: one
// suite, run against a real folder and against a real SFTP server in this process.
//
// Faults come from where they come from in life: the source breaks off, the
// server cuts the connection or says that its disk is full, somebody changes
// bytes on the medium.
package targettest
