// Package proxmox talks to a Proxmox VE cluster.
//
// Requests go through luthermonson/go-proxmox (kept, and the API's de facto Go
// client), by its raw Get, Post, Put and Delete only: its typed calls lose fields,
// its Task helpers call failed tasks good, and it swallows HTTP errors other than
// 400, 401, 403, 500 and 501. So a round tripper of our own stands under it that
// turns every answer of status 300 and above into *Error with the text of reason
// phrase and body. Certificates are pinned by SHA-256, since a node's is its own.
//
// Facts about the API were taken from recorded answers of a Proxmox VE 9.2 and
// from its API schema: 401 has an empty body and comes 3 s late; what is missing
// is 500, never 404; 595 and 596 mean that a node could not be reached or that
// the proxy gave up while the work may go on; lists are filtered by permission,
// so an empty list is not a proof of emptiness (Filters holds which right makes which list
// whole); a guest with an ACL entry of its own is in no list, and its VMID is taken all
// the same (Hidden); the size of one volume is rounded up, that of a list is exact;
// numbers come as strings, too. TestEveryCallWasSeenTrue lists the calls of which no
// recording exists.
package proxmox
