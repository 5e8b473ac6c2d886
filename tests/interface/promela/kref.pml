/* v4: a getter takes a reference under RCU while the key's owner puts the last one.
 * -DPOSTED: kref_get and kfree; else kref_get_unless_zero and kfree after a grace period.
 * Written by hand, by itself: not generated from cgsim's protocols.
 */
bool slot = true;          /* the idr's pointer to the datum */
byte ref = 1;
bool freed = false;
byte readers = 0;          /* a bit for each reader in a section */

inline put()
{
	atomic {
		assert(!freed);
		assert(ref > 0);
		ref--;
		last = (ref == 0)
	}
	if
	:: last ->
#ifndef POSTED
		atomic { mask = readers };
		do
		:: atomic { (mask & readers) == 0 -> break }
		:: atomic { (mask & readers) != mask -> mask = mask & readers }
		od;
#endif
		atomic { assert(!freed); freed = true }
	:: else
	fi
}

proctype reader(byte me)
{
	bool found, last;
	byte mask;

	readers = readers | (1 << me);
	found = slot;
	if
	:: found ->
#ifdef POSTED
		atomic { assert(!freed); assert(ref > 0); ref++ }
#else
		atomic {
			assert(!freed);
			if
			:: ref > 0 -> ref++
			:: else -> found = false
			fi
		}
#endif
	:: else
	fi;
	readers = readers & ~(1 << me);
	if
	:: found ->
		assert(!freed);
		put()
	:: else
	fi
}

proctype owner()
{
	bool last;
	byte mask;

	slot = false;
	put()
}

init {
	atomic { run reader(0); run reader(1); run owner() }
}
