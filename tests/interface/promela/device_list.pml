/* v3: i915's list of a device's data, written under each cgroup's own mutex.
 * -DPOSTED: two mutexes for one list; else one. Nodes: 0 the head, 1 and 2 the entries.
 */
byte next[3];
byte prev[3];
bool held[2];

#ifdef POSTED
#define LOCK(me) (me)
#else
#define LOCK(me) 0
#endif

inline lock(i) { atomic { !held[i] -> held[i] = true } }
inline unlock(i) { held[i] = false }

proctype user(byte me)
{
	byte node, after, before, seen;

	node = me + 1;
	lock(LOCK(me));
	/* list_add */
	after = next[0];
	seen = prev[after];
	assert(seen == 0);
	prev[after] = node;
	next[node] = after;
	prev[node] = 0;
	next[0] = node;
	unlock(LOCK(me));

	lock(LOCK(me));
	/* list_del */
	before = prev[node];
	after = next[node];
	seen = next[before];
	assert(seen == node);
	seen = prev[after];
	assert(seen == node);
	prev[after] = before;
	next[before] = after;
	unlock(LOCK(me))
}

init {
	atomic { run user(0); run user(1) }
}
